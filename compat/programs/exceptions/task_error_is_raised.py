"""The exception of a task reaches the caller of the flow."""

from prefect import flow, task


class Mine(Exception):
    pass


@task
def t():
    raise Mine("m")


@flow
def main():
    t.submit().result()


try:
    main()
except Mine as e:
    print("Mine", e)
