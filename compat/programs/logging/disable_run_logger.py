"""Calling a task's function in a unit test."""

from prefect import get_run_logger, task
from prefect.logging import disable_run_logger


@task
def t(x):
    get_run_logger().info("x is %s", x)
    return x


with disable_run_logger():
    print(t.fn(3))
