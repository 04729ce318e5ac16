"""A coroutine as a flow."""

import asyncio
from prefect import flow, task


@task
async def t(x):
    await asyncio.sleep(0)
    return x + 1


@flow
async def main():
    return await t(1)


print(asyncio.run(main()))
