"""A key that is not allowed."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact


@flow
def main():
    create_markdown_artifact(key="Not Allowed", markdown="x")


print(main(return_state=True).type.value)
