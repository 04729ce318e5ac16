"""Flows whose functions have effects, or read secrets, when they are called: neither belongs into a compilation."""

from __future__ import annotations

import re
from typing import Any

import pydantic
import pytest

from penstock import arun_deployment, flow, run_deployment, task
from penstock.artifacts import create_link_artifact
from penstock.authoring.compilation import compile_flow
from penstock.blocks.system import JSON, Secret
from penstock.errors import CompileError
from penstock.variables import Variable


class Settings(pydantic.BaseModel):
    password: pydantic.SecretStr


@task
def take(value: Any) -> Any:
    return value


async def starts_a_run():
    await take_later(1)
    await arun_deployment("orders", timeout=0)


async def starts_a_run_that_is_awaited():
    await take_later(1)
    await run_deployment("orders", timeout=0)  # type: ignore[misc]  # awaited, it is a coroutine


async def loads_later():
    await take_later(await Secret.aload("token"))


@task
async def take_later(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda: take(Secret.load("token").get()), "the Secret 'token' would be loaded when the flow is compiled"),
        (loads_later, "the Secret 'token' would be loaded when the flow is compiled"),
        (lambda: take(JSON.load("rules")), "the JSON 'rules' would be loaded when the flow is compiled"),
        (lambda: take(Secret(value="s").save("token")), "the Secret 'token' would be saved when"),
        (lambda: take(Secret.delete("token")), "the Secret 'token' would be removed when"),
        (lambda: take(Variable.get("region", "eu")), "the variable 'region' would be read when"),
        (lambda: take(Variable.set("region", "us", overwrite=True)), "the variable 'region' would be set when"),
        (lambda: take(Variable.unset("region")), "the variable 'region' would be removed when"),
        (lambda: take(run_deployment("orders", timeout=0)), "a run of 'orders' would be started when"),
        (starts_a_run, "a run of 'orders' would be started when"),
        (starts_a_run_that_is_awaited, "a run of 'orders' would be started when"),
        (lambda: take(create_link_artifact("http://x")), "the artifact would be created when"),
        (lambda: take(Secret(value="s")), "an argument of 'take' contains a secret"),
        (lambda: take([pydantic.SecretStr("s")]), "an argument of 'take' contains a secret"),
        (lambda: take.submit(Settings(password=pydantic.SecretStr("s"))), "an argument of 'take' contains a secret"),
    ],
)
def test_an_effect_of_a_flows_function_and_a_secret_are_refused(fn, message, monkeypatch, tmp_path):
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(CompileError, match=rf"test_compile_effects\.py:\d+: {re.escape(message)}") as refused:
        compile_flow(flow(fn, name="etl"), entrypoint="tests:flow", image="i")
    assert "hunter2" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def plain_secret(token: pydantic.SecretStr = pydantic.SecretStr("hunter2")):  # noqa: B008 - what is tested
    take(token)


def secret_in_a_model(token: Settings = Settings(password=pydantic.SecretStr("hunter2"))):  # noqa: B008 - as above
    take(token)


@pytest.mark.parametrize("fn", [plain_secret, secret_in_a_model])
def test_a_default_with_a_secret_is_refused(fn):
    with pytest.raises(CompileError, match=r"the default of parameter 'token' of flow 'etl' contains a secret"):
        compile_flow(flow(fn, name="etl"), entrypoint="tests:flow", image="i")


def test_tasks_have_effects_when_they_run(monkeypatch, tmp_path):
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_SECRET_TOKEN", "hunter2")

    @task
    def uses() -> Any:
        Variable.set("length", len(Secret.load("token").get()))
        return Variable.get("length")

    assert flow(lambda: [uses()], name="etl")() == [7]
