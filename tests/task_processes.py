"""Flows whose attempts are processes: the engine decides, and each attempt runs as its container would.

What goes through here is what a cluster does to it: the kubelet expands variables, and the API server writes 2.0 as 2
and keys in their order.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.engine.compiler.params import resolve_params
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.failure_message import describe_exit
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.effects.inputs import ContainerInputs
from penstock.engine.machine.facts import Cause, Outcome
from penstock.engine.reasons import Reason
from penstock.engine.validation.validation import check_flow, parse_flow
from tests.simulation import World

MAX_STEPS = 500


@dataclass
class Finished:
    """A finished run."""

    state: str
    outputs: dict[str, Any]
    tasks: dict[str, dict[str, Any]]
    logs: dict[str, str]


@dataclass
class ProcessWorld(World):
    """A cluster whose containers are processes of this machine."""

    folder: Path = Path()
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str = "python"
    logs: dict[str, str] = field(default_factory=dict)
    _creates: dict[tuple[TaskInstanceKey, int], CreateAttempt] = field(default_factory=dict)

    def _create(self, create: CreateAttempt, *, is_observed: bool) -> None:
        self._creates[create.key, create.attempt] = create
        super()._create(create, is_observed=is_observed)

    def run_to_completion(self, key: TaskInstanceKey, attempt: int) -> Outcome:
        """Run an attempt to its end."""
        create = self._creates[key, attempt]
        inputs = create.inputs
        assert isinstance(inputs, ContainerInputs)
        task = self.plan.tasks[self.plan.positions[key.task]]
        outputs = self.folder / "outputs"
        outputs.write_text("")
        fields: dict[str, object] = {"metadata.labels['penstock.dev/attempt']": attempt}
        fields |= {"metadata.annotations['penstock.dev/failures']": create.failures or ""}
        variables = {"PENSTOCK_OUTPUTS": str(outputs)}
        for entry in inputs.env:
            source = entry.get("valueFrom")
            text = entry.get("value", "") if source is None else str(fields[source["fieldRef"]["fieldPath"]])
            variables[entry["name"]] = expand(text, variables)
        assert task.command is not None
        done = subprocess.run(
            [self.python, *task.command[1:], *inputs.args],
            env={**os.environ, **self.environment, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        self.logs[f"{key.task}/{key.item}/{attempt}"] = done.stderr
        if done.returncode:
            message = describe_exit(done.returncode, done.stderr[-2048:])
            return Outcome(Cause.FAILURE, 0.0, Reason.EXIT_CODE, message, done.returncode)
        written = outputs.read_text()
        assert len(written.encode()) < 4096, "outputs reach their limit"
        return Outcome(Cause.SUCCESS, 0.0, exit_code=0, outputs=as_stored(json.loads(written or "{}")))


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Expand as the kubelet does: https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/."""

    def replaced(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)", replaced, text)


def as_stored(value: Any) -> Any:
    """Return a value as the API server gives it back."""
    if isinstance(value, dict):
        return {key: as_stored(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [as_stored(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def run_manifest(
    manifest: dict[str, Any],
    params: Mapping[str, Any] | None = None,
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    python: str,
    crashes: bool = True,
) -> Finished:
    """Run a Flow to its end.

    Args:
        manifest: the Flow.
        params: the run's.
        folder: where its processes run, with their code.
        environment: of all processes.
        python: the interpreter.
        crashes: throw the machine away after each step.
    """
    spec = parse_flow(as_stored(manifest))
    assert check_flow(spec) == []
    plan = compile_plan(spec)
    world = ProcessWorld(
        plan,
        lambda key, attempt: world.run_to_completion(key, attempt),  # noqa: PLW0108 - there is no world yet
        random.Random(1),
        params=resolve_params(spec.params or [], dict(params or {})),
        folder=folder,
        environment=environment or {},
        python=python,
    )
    for _ in range(MAX_STEPS):
        step = world.step()
        world.flush()
        if world.machine.is_finished:
            break
        for pod in world.live_pods():
            world.progress(pod)
        if crashes:
            world.flush()
            world.crash()
        if not world.live_pods() and step.wake_at is not None:
            world.now = max(world.now + 1.0, step.wake_at)
    world.flush()
    status = world.status
    entries = {entry["name"]: entry for entry in status["tasks"]}
    return Finished(status["state"], status.get("outputs", {}), entries, world.logs)
