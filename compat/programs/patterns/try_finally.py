"""Cleaning up."""

from prefect import flow, task


@task
def work():
    raise ValueError("w")


@task
def clean():
    print("cleaned")


@flow
def main():
    try:
        work()
    finally:
        clean()


print(main(return_state=True).type.value)
