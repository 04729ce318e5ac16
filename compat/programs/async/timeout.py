"""A coroutine task that takes too long."""

import asyncio
from prefect import flow, task


@task(timeout_seconds=0.1)
async def t():
    await asyncio.sleep(5)


@flow
async def main():
    s = await t(return_state=True)
    return s.name


print(asyncio.run(main()))
