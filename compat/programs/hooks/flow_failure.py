"""A hook after a failure."""

from prefect import flow


def failed(flow, flow_run, state):
    print("failed", state.type.value, state.message)


@flow(on_failure=[failed])
def main():
    raise ValueError("x")


main(return_state=True)
