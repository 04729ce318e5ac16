"""Tables as artifacts."""

from uuid import UUID
from prefect import flow
from prefect.artifacts import create_table_artifact


@flow
def main():
    return [isinstance(create_table_artifact(table=t), UUID) for t in ([{"a": 1}], {"a": [1]}, [["a"], [1]])]


print(main())
