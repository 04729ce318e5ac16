"""Retries of a coroutine task."""

import asyncio
from prefect import flow, task

calls = []


@task(retries=2, retry_delay_seconds=0.01)
async def t():
    calls.append(1)
    if len(calls) < 3:
        raise ValueError
    return "ok"


@flow
async def main():
    return await t()


print(asyncio.run(main()), len(calls))
