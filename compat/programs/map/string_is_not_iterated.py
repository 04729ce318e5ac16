"""A text is passed whole."""

from prefect import flow, task


@task
def t(x, s):
    return s + str(x)


@flow
def main():
    return t.map([1, 2], "ab").result()


print(main())
