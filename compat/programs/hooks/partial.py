"""A hook made by functools.partial."""

from functools import partial
from prefect import flow


def send(flow, flow_run, state, channel):
    print(channel, state.name)


@flow(on_completion=[partial(send, channel="#ops")])
def main(): ...


main()
