"""Comparing the type of a state."""

from prefect import flow
from prefect.client.schemas.objects import StateType


@flow
def main(): ...


s = main(return_state=True)
print(s.type == StateType.COMPLETED, s.type is StateType.COMPLETED, s.type in {StateType.FAILED})
