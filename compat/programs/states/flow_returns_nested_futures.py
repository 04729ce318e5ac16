"""A flow that returns futures in a list in a dictionary, one of which failed."""

from prefect import flow, task


@task
def t(fails):
    if fails:
        raise ValueError("bad")
    return 5


@flow
def main():
    return {"a": [t.submit(False)], "b": t.submit(True)}


state = main(return_state=True)
print(state.type.value, state.message)
