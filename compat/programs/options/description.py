"""The docstring is the description."""

from prefect import flow, task


@task
def clean():
    """Drop empty rows."""


@flow(description="Given")
def main():
    """Ignored."""


print(clean.description, main.description)
