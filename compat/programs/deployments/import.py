"""run_deployment by its module."""

from prefect.deployments import run_deployment

print(callable(run_deployment))
