"""Arguments by keyword only, and by position only."""

from prefect import flow, task


@task
def t(a, /, b, *, c=3):
    return a, b, c


@flow
def main(a, *, b):
    return t(a, b)


print(main(1, b=2))
