"""with_options gives another task and leaves the first as it is."""

from prefect import flow, task


@task(name="a", retries=1)
def t():
    return "ok"


u = t.with_options(name="b", retries=4)


@flow
def main():
    return u()


print(main(), t.name, u.name, t.retries, u.retries)
