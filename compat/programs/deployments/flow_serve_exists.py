"""Methods that deploy."""

from prefect import deploy, flow, serve


@flow
def main(): ...


print(callable(main.serve), callable(main.deploy), callable(serve), callable(deploy))
