"""A task whose input failed."""

from prefect import flow, task


@task
def bad():
    raise ValueError("no")


@task
def after(x):
    return x


@flow
def main():
    f = after.submit(bad.submit())
    f.wait()
    return f.state.is_completed(), f.state.is_failed()


print(main())
