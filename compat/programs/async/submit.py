"""submit in a coroutine."""

import asyncio
from prefect import flow, task


@task
async def t(x):
    return x * 2


@flow
async def main():
    f = t.submit(4)
    return f.result()


print(asyncio.run(main()))
