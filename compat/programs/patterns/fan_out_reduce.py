"""Fan out, then reduce."""

from prefect import flow, task


@task
def part(i):
    return i * i


@task
def reduce(xs):
    return sum(xs)


@flow
def main(n: int = 5):
    return reduce(part.map(list(range(n))))


print(main())
