"""A notification with an address of the UI."""

from prefect import flow, runtime


def notify(flow, flow_run, state):
    print("url", flow_run.name is not None, runtime.deployment.name)


@flow(on_completion=[notify])
def main():
    return runtime.flow_run.job_variables


print(main())
