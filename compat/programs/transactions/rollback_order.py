"""The order of rollbacks."""

from prefect import flow, task
from prefect.transactions import transaction


@task
def a(): ...


a.on_rollback(lambda txn: print("undo a"))


@task
def b(): ...


b.on_rollback(lambda txn: print("undo b"))


@flow
def main():
    with transaction():
        a()
        b()
        raise ValueError


main(return_state=True)
