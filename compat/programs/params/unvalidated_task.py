"""Parameters of tasks are not converted."""

from prefect import flow, task


@task
def t(n: int):
    return n


@flow
def main():
    return t("5")


print(repr(main()))
