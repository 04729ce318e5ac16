"""The logger of the run."""

from prefect import flow, get_run_logger, task


@task
def t():
    log = get_run_logger()
    log.info("in the task %s", 1)
    log.warning("careful")
    return 1


@flow
def main():
    get_run_logger().info("in the flow")
    return t()


print(main())
