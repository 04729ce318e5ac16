"""raise_state_exception."""

from prefect import flow
from prefect.states import raise_state_exception


@flow
def main():
    raise LookupError("gone")


s = main(return_state=True)
try:
    raise_state_exception(s)
except LookupError as e:
    print("LookupError", e)
