"""A hook that is a coroutine function."""

from prefect import flow


async def done(flow, flow_run, state):
    print("awaited", state.name)


@flow(on_completion=[done])
def main(): ...


main()
