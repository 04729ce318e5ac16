"""A serializer as an object."""

from prefect import flow, task
from prefect.serializers import JSONSerializer, PickleSerializer


@task(persist_result=True, result_serializer=JSONSerializer())
def a():
    return [1]


@task(persist_result=True, result_serializer=PickleSerializer())
def b():
    return (2,)


@flow
def main():
    return a(), b()


print(main())
