"""A flow that returns states of several kinds."""

from prefect import flow
from prefect.states import Cancelled, Completed, Failed


@flow
def main():
    return Cancelled(), Completed(), Failed()


s = main(return_state=True)
print(s.type.value, s.message)
