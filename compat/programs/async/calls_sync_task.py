"""A plain task in a coroutine."""

import asyncio
from prefect import flow, task


@task
def t(x):
    return x


@flow
async def main():
    return t(1), t.submit(2).result()


print(asyncio.run(main()))
