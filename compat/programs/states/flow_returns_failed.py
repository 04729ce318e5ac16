"""A flow that returns Failed."""

from prefect import flow
from prefect.states import Failed


@flow
def main():
    return Failed(message="on purpose")


s = main(return_state=True)
print(s.name, s.message)
