"""A list of futures that grows while it is waited for."""

from prefect import flow, task

order = []


@task
def step(n):
    order.append(n)
    return n


@flow
def main():
    futures = []
    for n in range(3):
        futures.append(step.submit(n, wait_for=futures))
    return [f.result() for f in futures]


print(main(), order)
