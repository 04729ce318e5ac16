"""An argument that cannot be hashed, with results that are stored."""

import threading
from prefect import flow, task


class Session:
    def __init__(self):
        self.lock = threading.Lock()


@task
def use(session):
    return "used"


@flow(persist_result=True)
def main():
    return use(Session())


print(main())
