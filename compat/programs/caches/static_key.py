"""A constant key."""

from prefect import flow, task

calls = []


@task(cache_key_fn=lambda context, params: "static-key-of-this-file")
def t(x):
    calls.append(x)
    return x


@flow
def main():
    return t(1), t(2)


print(main(), calls)
