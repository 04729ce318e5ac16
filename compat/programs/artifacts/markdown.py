"""An artifact of Markdown."""

from uuid import UUID
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact


@task
def report():
    return create_markdown_artifact(key="report", markdown="# Hi", description="d")


@flow
def main():
    return isinstance(report(), UUID)


print(main())
