"""A transaction that overwrites."""

from prefect import flow
from prefect.transactions import transaction


@flow(persist_result=True)
def main(n: int):
    with transaction(key="compat-over", overwrite=True) as txn:
        if txn.is_committed():
            return "skipped"
        txn.stage(n)
    return "ran"


print(main(1), main(2))
