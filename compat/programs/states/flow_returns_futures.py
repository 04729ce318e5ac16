"""A flow that returns a list of futures."""

from prefect import flow, task


@task
def t(x):
    return x


@flow
def main():
    return [t.submit(1), t.submit(2)]


s = main(return_state=True)
print(s.name, s.is_completed())
