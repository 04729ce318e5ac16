"""An artifact that is read again."""

from prefect import flow
from prefect.artifacts import Artifact, create_markdown_artifact


@flow
def main():
    create_markdown_artifact(key="read-again", markdown="# T")
    return Artifact.get("read-again").data


print(main())
