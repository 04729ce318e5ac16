"""A flow that returns Cancelled."""

from prefect import flow
from prefect.states import Cancelled


def cancelled(flow, flow_run, state):
    print("cancelled", state.type.value)


@flow(on_cancellation=[cancelled])
def main():
    return Cancelled(message="stop")


s = main(return_state=True)
print(s.type.value, s.message)
