"""Tags without a limit."""

from prefect import flow, task


@task(tags=["database"])
def t(x):
    return x


@flow
def main():
    return t.map([1, 2, 3]).result()


print(main())
