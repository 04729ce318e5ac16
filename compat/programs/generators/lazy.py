"""Elements come as they are made."""

from prefect import flow, task

seen = []


@task
def rows():
    for i in range(2):
        seen.append(f"made {i}")
        yield i


@flow
def main():
    for r in rows():
        seen.append(f"used {r}")
    return seen


print(main())
