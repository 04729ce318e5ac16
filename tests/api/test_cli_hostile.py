"""The command line in a namespace full of objects that nothing can be done with: it says so, and shows all others."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from penstock.api import names
from tests.api import test_hostile_objects as hostile
from tests.api import test_rubbish as rubbish
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

LIMIT_S = 600
LONG = "x" * 200_000
OWN_NAMES: dict[str, dict[str, Any]] = {
    "deep-name": {"labels": {"penstock.dev/run": "", "penstock.dev/task": "x"}, "annotations": {"a/b": LONG}},
    "finalized": {"finalizers": ["example.com/keep"], "annotations": {"kubectl.kubernetes.io/last-applied": "{" * 50}},
}
STATUSES: dict[str, dict[str, Any]] = {
    "says-nothing": {"state": "Failed"},
    "says-too-much": {"state": "Completed", "message": LONG[:8000], "reason": "No" + "X" * 90, "outputs": {"o": LONG}},
    "unknown-words": {
        "state": "Completed",
        "completionTime": "0001-01-01T00:00:00Z",
        "tasks": [{"name": "none", "state": "Completed", "items": {"total": 9, "indexes": {"Failed": "x-,--"}}}],
    },
}
OF_A_RUN = (
    ("describe", "NAME"),
    ("get", "run", "NAME", "-o", "yaml"),
    ("graph", "run/NAME"),
)
OF_A_STRANGE_RUN = (
    *OF_A_RUN,
    ("get", "run", "NAME", "-o", "json"),
    ("graph", "run/NAME", "-o", "svg"),
    ("watch", "NAME"),
    ("logs", "NAME"),
    ("approve", "NAME", "main"),
    ("suspend", "NAME"),
    ("resume", "NAME"),
    ("cancel", "NAME"),
    ("retry", "NAME", "--name", "again-NAME"),
)
OF_A_FLOW = (
    ("get", "flow", "NAME", "-o", "yaml"),
    ("get", "runs", "--flow", "NAME"),
    ("graph", "NAME"),
    ("run", "NAME", "--name", "run-of-NAME"),
)
OF_A_SCHEDULE = (
    ("get", "schedule", "NAME", "-o", "yaml"),
    ("schedule", "preview", "NAME"),
    ("backfill", "NAME", "--from", "2020-01-01", "--to", "2020-03-01"),
)
OF_A_BACKFILL = (("get", "backfill", "NAME", "-o", "json"), ("watch", "backfill/NAME"))
OF_ALL = tuple(
    ("get", kind, "-o", output)
    for kind in ("runs", "flows", "schedules", "backfills")
    for output in ("wide", "json", "yaml")
)
COMMANDS = {"FlowRun": OF_A_RUN, "Flow": OF_A_FLOW, "Schedule": OF_A_SCHEDULE, "Backfill": OF_A_BACKFILL}
ALL_COMMANDS = """
import contextlib, json, signal, sys, traceback
from penstock.cli.main import main

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
for words in json.load(sys.stdin):
    print(f"BEGIN {' '.join(words)}", flush=True)
    signal.alarm(3 if words[0] in ("watch", "logs") else 60)
    try:
        main([*words, *sys.argv[1:]])
    except (SystemExit, KeyboardInterrupt):
        pass
    except BaseException:
        print(traceback.format_exc(limit=-3), flush=True)
    signal.alarm(0)
"""
"""Types one command after the other, and interrupts those that wait for something: the program starts once."""


def store_everything(scene: Scene) -> dict[str, list[str]]:
    """Store all objects of the tables, and return their names by kind."""
    hostile.store_all(scene)
    for name, spec in rubbish.RUNS.items():
        scene.create("FlowRun", name, spec)
    for name, metadata in OWN_NAMES.items():
        scene.create("FlowRun", name, {"flowSpec": {"tasks": [task()]}}, **metadata)
    for name, status in {**rubbish.STATUSES, **STATUSES}.items():
        scene.start(task(), name=name)
        scene.patch("FlowRun", name, {"status": status}, is_status=True)
    for kind, table in (("Schedule", rubbish.SCHEDULES), ("Backfill", rubbish.BACKFILLS)):
        for name, spec in table.items():
            scene.create(kind, name, spec)
    return {
        "FlowRun": [*hostile.RUNS, *rubbish.RUNS, *OWN_NAMES, *rubbish.STATUSES, *STATUSES],
        "Flow": ["flow", *hostile.FLOWS],
        "Schedule": ["yearly", *hostile.SCHEDULES, *rubbish.SCHEDULES],
        "Backfill": [*hostile.BACKFILLS, *rubbish.BACKFILLS],
    }


def end(scene: Scene, name: str) -> None:
    """Store the end of a run; the official client could not read the answer about some of them."""
    scene.custom.patch_namespaced_custom_object_status(
        names.GROUP,
        names.VERSION,
        scene.namespace,
        "flowruns",
        name,
        {"status": {"state": "Failed", "message": "no"}},
        _preload_content=False,
    )


def test_no_command_fails_unexpectedly_whatever_is_stored(scene, kubeconfig, tmp_path: Path):
    stored = store_everything(scene)
    # Whoever looks at a run that has begun waits for its end.
    for name in (*hostile.RUNS, *rubbish.RUNS, *OWN_NAMES):
        end(scene, name)
    backup = str(tmp_path / "backup.jsonl")
    commands = [*OF_ALL, ("backup", "-o", backup), ("restore", backup), ("doctor",)]
    strange = {name for name in stored["FlowRun"] if name.startswith("deep-")} | {*OWN_NAMES, *STATUSES}
    for kind, of_one in COMMANDS.items():
        for name in stored[kind]:
            templates = OF_A_STRANGE_RUN if kind == "FlowRun" and name in strange else of_one
            commands += [tuple(word.replace("NAME", name) for word in words) for words in templates]
    place = ["--kubeconfig", str(kubeconfig), "-n", scene.namespace]
    done = subprocess.run(
        [sys.executable, "-c", ALL_COMMANDS, *place],
        input=json.dumps(commands),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    said = dict(part.split("\n", 1) for part in re.split(r"^BEGIN ", done.stdout, flags=re.MULTILINE)[1:])
    assert len(said) == len({" ".join(words) for words in commands})
    unexpected = {words: text for words, text in said.items() if "Traceback" in text or "Error: " in text[:200]}
    assert unexpected == {}
    # One object hides no other.
    listed = said["get runs -o wide"]
    assert [name for name in stored["FlowRun"] if name not in listed] == []
    lines = [json.loads(line) for line in Path(backup).read_text().splitlines()]
    kept = {body["metadata"]["name"] for body in lines if "metadata" in body}
    assert set(chain.from_iterable(stored.values())) <= kept
