"""Values of a transaction."""

from prefect.transactions import transaction

with transaction() as txn:
    txn.set("a", 1)
    with transaction() as inner:
        print(inner.get("a"), inner.get("b", None), txn.get("a"))
    try:
        txn.get("zz")
    except ValueError:
        print("ValueError")
