"""logger.exception in a flow."""

from prefect import flow, get_run_logger


@flow
def main():
    try:
        1 / 0
    except ZeroDivisionError:
        get_run_logger().exception("division")
    return "handled"


print(main())
