"""gather over coroutine tasks."""

import asyncio
from prefect import flow, task


@task
async def t(x):
    await asyncio.sleep(0.01)
    return x


@flow
async def main():
    return await asyncio.gather(*[t(i) for i in range(4)])


print(asyncio.run(main()))
