"""A method as a task."""

from prefect import flow, task


class Loader:
    def __init__(self, base):
        self.base = base

    @task
    def load(self, x):
        return self.base + x


@flow
def main():
    l = Loader(10)
    return l.load(1), l.load.submit(2).result()


print(main())
