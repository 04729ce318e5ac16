"""Extra fields of records."""

from prefect import flow, get_run_logger


@flow
def main():
    get_run_logger().info("with more", extra={"size": 3})
    return 1


print(main())
