"""A coroutine task submitted by a plain flow."""

import asyncio
from prefect import flow, task


@task
async def t(x):
    await asyncio.sleep(0)
    return x


@flow
def main():
    return [f.result() for f in t.map([1, 2, 3])]


print(main())
