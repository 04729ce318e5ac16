"""Methods as tasks, by what the object holds."""

from prefect import flow, task
from prefect.cache_policies import INPUTS


class Scale:
    def __init__(self, factor):
        self.factor = factor

    @task(cache_policy=INPUTS)
    def times(self, x):
        return self.factor * x


@flow
def main():
    return Scale(2).times(1), Scale(3).times(1)


print(main())
