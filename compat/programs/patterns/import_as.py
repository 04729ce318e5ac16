"""Names imported under others."""

import prefect as pf
from prefect import flow as workflow, task as step
from prefect.futures import wait as wait_all


@step
def t(x):
    return x


@workflow
def main():
    fs = t.map([1, 2])
    wait_all(fs)
    return fs.result(), pf.tags is not None


print(main())
