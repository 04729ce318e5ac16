"""Hooks when a run starts."""

from prefect import flow, task


def on(obj, run, state):
    print(type(obj).__name__.endswith("Flow"), state.name)


@task(on_running=[on])
def t(): ...
@flow(on_running=[on])
def main():
    t()


main()
