"""An exception with a cause."""

from prefect import flow, task


@task
def t():
    try:
        1 / 0
    except ZeroDivisionError as e:
        raise ValueError("outer") from e


@flow
def main():
    t()


try:
    main()
except ValueError as e:
    print(e, type(e.__cause__).__name__)
