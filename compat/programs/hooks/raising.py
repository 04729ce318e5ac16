"""A hook that raises does not fail the run."""

from prefect import flow


def bad(flow, flow_run, state):
    raise ValueError("hook")


def good(flow, flow_run, state):
    print("good")


@flow(on_completion=[bad, good])
def main():
    return 1


print(main())
