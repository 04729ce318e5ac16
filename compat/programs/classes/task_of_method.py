"""task() applied to a bound method."""

from prefect import flow, task


class A:
    def m(self, x):
        return x * 3


@flow
def main():
    t = task(A().m)
    return t(2)


print(main())
