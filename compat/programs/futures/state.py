"""The state of a future."""

from prefect import flow, task


@task
def t():
    return 1


@flow
def main():
    f = t.submit()
    f.wait()
    return f.state.type.value, f.state.name, f.state.is_completed()


print(main())
