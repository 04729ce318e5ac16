"""Variables that are awaited."""

import asyncio
from prefect import flow
from prefect.variables import Variable


@flow
async def main():
    await Variable.set("compat_async", "v", overwrite=True)
    return await Variable.get("compat_async"), await Variable.aget("compat_async")


print(asyncio.run(main()))
