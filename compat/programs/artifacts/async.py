"""Artifacts that are awaited in a coroutine."""

import asyncio
from uuid import UUID
from prefect import flow, task
from prefect.artifacts import acreate_table_artifact, create_markdown_artifact


@task
async def report():
    return await create_markdown_artifact(key="awaited", markdown="x")


@flow
async def main():
    return isinstance(await report(), UUID), isinstance(await acreate_table_artifact([{"a": 1}]), UUID)


print(asyncio.run(main()))
