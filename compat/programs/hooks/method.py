"""A hook that is a callable object."""

from prefect import flow


class Notify:
    def __init__(self, to):
        self.to = to

    def __call__(self, flow, flow_run, state):
        print(self.to, state.name)


@flow(on_completion=[Notify("ops")])
def main(): ...


main()
