"""The result of a state that is awaited."""

import asyncio
from prefect import flow, task


@task
async def t():
    return 8


@flow
async def main():
    s = await t(return_state=True)
    return await s.result()


print(asyncio.run(main()))
