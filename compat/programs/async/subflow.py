"""A coroutine flow in another one."""

import asyncio
from prefect import flow


@flow
async def child(x):
    return x * 2


@flow
async def main():
    return await asyncio.gather(child(1), child(2))


print(asyncio.run(main()))
