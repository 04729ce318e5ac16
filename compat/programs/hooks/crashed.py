"""A hook after a crash."""

from prefect import flow


def crashed(flow, flow_run, state):
    print("crashed", state.type.value)


@flow(on_crashed=[crashed])
def main():
    raise SystemExit(1)


try:
    main()
except SystemExit:
    print("exit")
