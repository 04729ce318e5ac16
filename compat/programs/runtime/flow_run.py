"""What a flow can read of itself."""

from prefect import flow, runtime


@flow(name="self", version="2")
def main(a: int, b: str = "x"):
    r = runtime.flow_run
    return (
        r.flow_name,
        r.parameters,
        r.tags,
        r.run_count,
        r.parent_flow_run_id,
        r.flow_version,
        r.scheduled_start_time is not None,
    )


print(main(1))
