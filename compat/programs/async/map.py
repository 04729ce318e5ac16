"""map in a coroutine."""

import asyncio
from prefect import flow, task


@task
async def t(x):
    return x * 2


@flow
async def main():
    return t.map([1, 2]).result()


print(asyncio.run(main()))
