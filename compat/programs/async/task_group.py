"""Tasks in a TaskGroup."""

import asyncio
from prefect import flow, task


@task
async def t(x):
    return x


@flow
async def main():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(t(i)) for i in range(3)]
    return [each.result() for each in tasks]


print(asyncio.run(main()))
