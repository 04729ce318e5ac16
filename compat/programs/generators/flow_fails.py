"""A generator flow that raises after some elements."""

from prefect import flow


@flow
def numbers():
    yield 1
    raise ValueError("after one")


got = []
try:
    for n in numbers():
        got.append(n)
except ValueError as e:
    print(got, e)
