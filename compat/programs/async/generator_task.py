"""An asynchronous generator as a task."""

import asyncio
from prefect import flow, task


@task
async def pages():
    for i in range(3):
        yield i


@flow
async def main():
    return [p async for p in pages()]


print(asyncio.run(main()))
