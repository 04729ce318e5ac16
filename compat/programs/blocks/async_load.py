"""A secret that is awaited."""

import asyncio
from prefect import flow
from prefect.blocks.system import Secret


@flow
async def main():
    await Secret(value="v").save("compat-async", overwrite=True)
    return (await Secret.load("compat-async")).get()


print(asyncio.run(main()))
