"""as_completed in a coroutine flow."""

import asyncio
from prefect import flow, task
from prefect.futures import as_completed


@task
def t(x):
    return x


@flow
async def main():
    return sorted(f.result() for f in as_completed(t.map([3, 1, 2])))


print(asyncio.run(main()))
