"""The modules of runtime imported by their names."""

from prefect import flow
from prefect.runtime import deployment, flow_run


@flow
def main():
    return flow_run.name is not None, deployment.name, deployment.parameters


print(main())
