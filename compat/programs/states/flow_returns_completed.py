"""A flow that returns Completed with data."""

from prefect import flow
from prefect.states import Completed


@flow
def main():
    return Completed(message="fine", data=[1])


s = main(return_state=True)
print(s.name, s.message, s.result())
