"""What a notification reads of the flow."""

from prefect import flow


def notify(flow, flow_run, state):
    print(
        flow.version,
        flow.description,
        flow.retries,
        flow.timeout_seconds,
        flow.log_prints,
        flow.fn.__name__,
        flow.isasync,
        flow.isgenerator,
    )


@flow(on_completion=[notify], version="3", description="d", timeout_seconds=60)
def main(): ...


main()
