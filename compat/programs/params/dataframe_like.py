"""An object whose comparison is not a truth value."""

from prefect import flow, task


class Frame:
    def __eq__(self, other):
        return [False]

    __hash__ = None

    def __bool__(self):
        raise ValueError("ambiguous")


@task
def t(f):
    return type(f).__name__


@flow
def main():
    return t(Frame()), t.submit(Frame()).result()


print(main())
