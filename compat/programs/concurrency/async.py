"""concurrency() in a coroutine."""

import asyncio
from prefect import flow
from prefect.concurrency.asyncio import concurrency, rate_limit


@flow
async def main():
    async with concurrency(["compat-none"], occupy=1):
        await rate_limit("compat-none")
        return "inside"


print(asyncio.run(main()))
