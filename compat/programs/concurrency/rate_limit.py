"""rate_limit() without a limit."""

from prefect import flow
from prefect.concurrency.sync import rate_limit


@flow
def main():
    rate_limit("compat-none")
    return "went on"


print(main())
