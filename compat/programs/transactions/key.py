"""A transaction with a key runs once."""

from prefect import flow
from prefect.transactions import transaction

ran = []


@flow(persist_result=True)
def main():
    with transaction(key="compat-once") as txn:
        if txn.is_committed():
            return "skipped"
        ran.append(1)
        txn.stage("value")
    return "ran"


print(main(), main(), len(ran))
