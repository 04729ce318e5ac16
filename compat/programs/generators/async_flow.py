"""An asynchronous generator as a flow."""

import asyncio
from prefect import flow


@flow
async def numbers():
    yield 1
    yield 2


async def main():
    print([n async for n in numbers()])


asyncio.run(main())
