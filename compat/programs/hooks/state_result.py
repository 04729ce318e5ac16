"""A hook that reads the result of the state."""

from prefect import flow


def done(flow, flow_run, state):
    print("got", state.result())


@flow(on_completion=[done], persist_result=True)
def main():
    return [1, 2]


main()
