"""A variable in a flow and a task."""

from prefect import flow, task
from prefect.variables import Variable

Variable.set("compat_factor", 3, overwrite=True)


@task
def t(x):
    return x * Variable.get("compat_factor")


@flow
def main():
    return t(2) + Variable.get("compat_factor")


print(main())
