"""A transaction whose tasks are committed at once, and that fails."""

from prefect import flow, task
from prefect.transactions import CommitMode, transaction


@task
def charge():
    return 1


@charge.on_commit
def done(txn):
    print("commit")


@charge.on_rollback
def undo(txn):
    print("rollback")


@flow
def main():
    with transaction(commit_mode=CommitMode.EAGER):
        charge()
        print("charged")
        raise ValueError("no")


print(main(return_state=True).type.value)
