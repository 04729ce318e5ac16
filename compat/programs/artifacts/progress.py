"""Progress as an artifact."""

from prefect import flow
from prefect.artifacts import create_progress_artifact, update_progress_artifact


@flow
def main():
    a = create_progress_artifact(progress=0.0, key="steps")
    update_progress_artifact(artifact_id=a, progress=50)
    return "updated"


print(main())
