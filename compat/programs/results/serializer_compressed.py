"""A compressed serializer."""

from prefect import flow, task


@task(persist_result=True, result_serializer="compressed/json")
def t():
    return ["x"] * 3


@flow
def main():
    return t()


print(main())
