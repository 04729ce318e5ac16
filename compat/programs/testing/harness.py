"""The harness of tests."""

from prefect import flow
from prefect.testing.utilities import prefect_test_harness


@flow
def main():
    return "tested"


print(callable(prefect_test_harness), main())
