"""An inner transaction that fails, which the outer one handles."""

from prefect import flow, task
from prefect.transactions import transaction


@task
def write(n): ...


write.on_rollback(lambda txn: print("undo"))
write.on_commit(lambda txn: print("commit"))


@flow
def main():
    with transaction() as outer:
        write(1)
        try:
            with transaction():
                write(2)
                raise ValueError("inner")
        except ValueError:
            pass
    return outer.state.name


print(main())
