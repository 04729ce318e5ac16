"""submit(return_state=True) waits and gives the state."""

from prefect import flow, task


@task
def t():
    return 9


@flow
def main():
    s = t.submit(return_state=True)
    return s.name, s.result()


print(main())
