"""A hook at the end of a flow."""

from prefect import flow


def done(flow, flow_run, state):
    print("done", flow.name, state.name)


@flow(on_completion=[done])
def main():
    return 1


main()
