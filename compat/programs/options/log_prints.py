"""Prints that become log lines do not go to stdout."""

from prefect import flow


@flow(log_prints=True)
def main():
    print("into the log")
    return 1


print(main())
