"""A transaction that commits."""

from prefect import flow, task
from prefect.transactions import transaction


@task
def write():
    return "w"


@write.on_commit
def committed(txn):
    print("commit", txn.get("path"))


@flow
def main():
    with transaction() as txn:
        txn.set("path", "/p")
        write()
    return "done"


print(main())
