"""A method as a flow."""

from prefect import flow


class Job:
    def __init__(self, n):
        self.n = n

    @flow
    def run(self, by: int):
        return self.n * by


print(Job(3).run(4), Job(3).run(by="5"))
