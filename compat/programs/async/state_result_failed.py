"""The exception of a state that is awaited."""

import asyncio
from prefect import flow


@flow
async def child():
    raise ValueError("c")


@flow
async def main():
    s = await child(return_state=True)
    try:
        await s.result()
    except ValueError as e:
        return str(e), repr(await s.result(raise_on_failure=False))


print(asyncio.run(main()))
