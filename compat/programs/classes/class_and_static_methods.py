"""Class methods and static methods as tasks."""

from prefect import flow, task


class L:
    base = 5

    @task
    @classmethod
    def c(cls, x):
        return cls.base + x

    @task
    @staticmethod
    def s(x):
        return x


@flow
def main():
    return L.c(1), L.s(2), L().c(3)


print(main())
