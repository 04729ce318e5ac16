"""The states of a transaction."""

from prefect.transactions import transaction

with transaction() as txn:
    print(txn.is_active(), txn.is_committed())
print(txn.is_committed(), txn.is_rolled_back())
