"""What a notification reads of the flow run."""

from uuid import UUID
from prefect import flow


def notify(flow, flow_run, state):
    print(
        flow_run.state_name, flow_run.state_type.value, flow_run.parameters, sorted(flow_run.tags), flow_run.run_count
    )
    print(
        isinstance(flow_run.id, UUID),
        isinstance(flow_run.flow_id, UUID),
        flow_run.deployment_id,
        flow_run.parent_task_run_id,
    )
    print(
        flow_run.expected_start_time is not None,
        flow_run.start_time is not None,
        flow_run.work_pool_name,
        flow_run.idempotency_key is None,
    )


@flow(on_completion=[notify])
def main(x: int = 1): ...


main()
