"""A transaction that is rolled back."""

from prefect import flow, task
from prefect.transactions import transaction


@task
def write(n):
    return n


@write.on_rollback
def undo(txn):
    print("undo")


@flow
def main():
    with transaction():
        write(1)
        raise ValueError("quality")


print(main(return_state=True).type.value)
