"""What coroutines may await, and others just call."""

# mypy: disable-error-code="misc"
# Type checkers know what is called; what is awaited as well has names that begin with `a`.

import asyncio

import pytest

from penstock import Variable, flow, pause_flow_run, task
from penstock.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from penstock.blocks.system import Secret
from penstock.errors import PauseError
from penstock.states import Completed, Failed, get_state_exception, raise_state_exception


def run(coroutine_function):
    return asyncio.run(flow(name="scene")(coroutine_function)())


def test_the_result_of_a_state_can_be_awaited_or_not():
    async def scene():
        return await Completed(data=1).result(), Completed(data=2).result(), await Completed(data=3).aresult()

    assert run(scene) == (1, 2, 3)


def test_the_exception_of_a_state_is_raised_where_it_is_awaited():
    @flow
    async def scene():
        with pytest.raises(LookupError, match="gone"):
            await Failed(data=LookupError("gone")).result()
        with pytest.raises(LookupError, match="gone"):
            await raise_state_exception(Failed(data=LookupError("gone")))
        return repr(await get_state_exception(Failed(data=LookupError("gone"))))

    assert asyncio.run(scene()) == "LookupError('gone')"


def test_variables_and_secrets_can_be_awaited():
    async def scene():
        await Variable.set("region", "eu")
        await Secret(value="s").save("token")
        got = await Variable.get("region"), Variable.get("region"), (await Secret.load("token")).get()
        return got, await Variable.unset("region")

    assert run(scene) == (("eu", "eu", "s"), True)


def test_artifacts_can_be_awaited(home):
    async def scene():
        await create_markdown_artifact("x", key="a")
        await update_progress_artifact(await create_progress_artifact(0, key="p"), 50)

    run(scene)
    assert sorted(path.stem for path in home.glob("runs/*/artifacts/*.md")) == ["a", "p"]


def test_an_artifact_is_created_although_nobody_awaits_it(home):
    async def scene():
        create_markdown_artifact("x", key="a")

    run(scene)
    assert [path.stem for path in home.glob("runs/*/artifacts/*.md")] == ["a"]


def test_a_pause_that_is_awaited_waits_in_a_thread():
    @flow
    async def scene():
        await pause_flow_run(timeout=1)

    with pytest.raises(PauseError, match="standard input is not a terminal"):
        asyncio.run(scene())


def test_the_helpers_of_a_coroutine_are_called_by_its_functions():
    def helper():
        return Completed(data=1).result()

    async def scene():
        return helper()

    assert run(scene) == 1


def test_an_asynchronous_generator_awaits_too():
    @task
    async def pages():
        yield await Completed(data=1).result()

    async def scene():
        return [page async for page in pages()]

    assert run(scene) == [1]
