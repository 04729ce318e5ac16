"""Hooks of transactions that are coroutine functions."""

from prefect import flow, task
from prefect.transactions import transaction


async def undo(txn):
    print("undo awaited")


@task
def write(): ...


write.on_rollback(undo)


@flow
def main():
    with transaction():
        write()
        raise ValueError


main(return_state=True)
