"""A transaction in a coroutine."""

import asyncio
from prefect import flow, task
from prefect.transactions import atransaction


@task
async def write():
    return 1


@write.on_commit
def committed(txn):
    print("commit")


@flow
async def main():
    async with atransaction():
        return await write()


print(asyncio.run(main()))
