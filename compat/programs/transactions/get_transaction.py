"""The current transaction."""

from prefect.transactions import get_transaction, transaction

print(get_transaction())
with transaction() as txn:
    print(get_transaction() is txn)
