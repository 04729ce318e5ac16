"""Isolation levels and commit modes."""

from prefect import flow
from prefect.transactions import CommitMode, IsolationLevel, transaction


@flow
def main():
    with transaction(isolation_level=IsolationLevel.READ_COMMITTED, commit_mode=CommitMode.LAZY) as txn:
        state = txn.state.name
    return state, txn.state.name


print(main())
