"""Awaited helpers in an async hook."""

import asyncio
from prefect import flow
from prefect.variables import Variable


async def done(flow, flow_run, state):
    await Variable.set("compat_hook", "set", overwrite=True)
    print(await Variable.get("compat_hook"))


@flow(on_completion=[done])
async def main(): ...


asyncio.run(main())
