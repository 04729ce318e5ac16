"""SystemExit in a task."""

from prefect import flow, task


@task
def t():
    raise SystemExit(3)


@flow
def main():
    t()


try:
    main()
except SystemExit as e:
    print("SystemExit", e.code)
