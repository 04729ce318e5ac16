"""What a flow without a deployment reads of it."""

from prefect import flow, runtime


@flow
def main():
    return runtime.deployment.id, runtime.deployment.name, runtime.deployment.version


print(main())
