"""A loop whose length a task decides."""

from prefect import flow, task


@task
def pages():
    return 3


@task
def page(i):
    return f"p{i}"


@flow
def main():
    return [page(i) for i in range(pages())]


print(main())
