"""Settings from the environment."""

import os
from prefect import flow, task

os.environ["COMPAT_MODE"] = "fast"


@task
def t():
    return os.environ["COMPAT_MODE"]


@flow
def main():
    return t()


print(main())
