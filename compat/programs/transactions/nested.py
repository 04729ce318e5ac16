"""A nested transaction is rolled back with the outer one."""

from prefect import flow, task
from prefect.transactions import transaction


@task
def write(): ...


write.on_rollback(lambda txn: print("undo"))
write.on_commit(lambda txn: print("commit"))


@flow
def main():
    with transaction():
        with transaction():
            write()
        raise ValueError


print(main(return_state=True).type.value)
