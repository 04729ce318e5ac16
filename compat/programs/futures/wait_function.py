"""wait() for several futures."""

from prefect import flow, task
from prefect.futures import wait


@task
def t(x):
    return x


@flow
def main():
    fs = [t.submit(i) for i in range(3)]
    done, not_done = wait(fs)
    return len(done), len(not_done)


print(main())
