"""A serializer by its name."""

from prefect import flow, task


@task(persist_result=True, result_serializer="json")
def t():
    return {"a": [1]}


@flow(result_serializer="json", persist_result=True)
def main():
    return t()


print(main())
