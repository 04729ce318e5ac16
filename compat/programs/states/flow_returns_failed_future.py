"""A flow that returns futures of which one failed."""

from prefect import flow, task


@task
def t(x):
    if x:
        raise ValueError("x")


@flow
def main():
    return [t.submit(0), t.submit(1)]


s = main(return_state=True)
print(s.type.value, s.message)
