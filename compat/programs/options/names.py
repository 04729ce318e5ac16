"""Names given to flows and tasks."""

from prefect import flow, task


@task(name="Fetch rows")
def fetch():
    return 1


@flow(name="Nightly load")
def main():
    return fetch()


print(main(), fetch.name, main.name)
