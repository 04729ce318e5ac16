"""The package by its own name."""

import prefect
import prefect.states


@prefect.task
def t(x):
    prefect.get_run_logger().info("x")
    return x


@prefect.flow(name="whole")
def main():
    return t(1), prefect.runtime.flow_run.flow_name, prefect.states.Completed().name


print(main())
