"""A function names the flow run, from the parameters of the run."""

from prefect import flow, runtime


def name():
    return f"{runtime.flow_run.flow_name}-with-{runtime.flow_run.parameters['who']}"


@flow(flow_run_name=name)
def report(who: str):
    return runtime.flow_run.name


print(report("bob"))
