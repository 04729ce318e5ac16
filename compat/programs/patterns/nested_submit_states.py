"""States of several futures, inspected one by one."""

from prefect import flow, task


@task
def t(i):
    if i % 2:
        raise ValueError(i)
    return i


@flow
def main():
    futures = [t.submit(i) for i in range(4)]
    good, bad = [], []
    for f in futures:
        f.wait()
        (good if f.state.is_completed() else bad).append(f.state.name)
    return good, bad


print(main())
