"""A flow that returns one future."""

from prefect import flow, task


@task
def t():
    return 5


@flow
def main():
    return t.submit()


s = main(return_state=True)
print(s.type.value)
