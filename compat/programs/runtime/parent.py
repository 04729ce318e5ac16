"""The ids of parents."""

from prefect import flow, runtime


@flow
def child():
    return runtime.flow_run.parent_flow_run_id, runtime.flow_run.root_flow_run_id


@flow
def main():
    parent, root = child()
    return parent == runtime.flow_run.id, root == runtime.flow_run.id


print(main())
