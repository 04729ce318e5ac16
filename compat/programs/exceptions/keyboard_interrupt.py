"""Ctrl-C in a task."""

from prefect import flow, task


@task(retries=3)
def t():
    raise KeyboardInterrupt


@flow
def main():
    t()


try:
    main()
except KeyboardInterrupt:
    print("KeyboardInterrupt")
