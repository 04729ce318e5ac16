"""What is stored in a cluster does not drive the terminal of whoever looks at it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.terminal import Terminal

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

EVIL = "ok\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[H\x9b2J\x08\r\x0b\x0c\x7f\u202eCompleted\u2066\x85"
"""Sets the clipboard, clears the screen (with ESC and with the C1 control character), moves back, turns text around."""
STYLES = re.compile(r"\x1b\[[0-9;]*m")
CURSOR = re.compile(r"\x1b\[(?:\?25[lh]|\d*[ABK]|2K)")
"""What a live display of ours moves: the cursor up and down, and lines that it clears."""
DRIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

COMMANDS = {
    "describe": ("describe", "r"),
    "watch": ("watch", "r"),
    "watch a Backfill": ("watch", "backfill/b"),
    "get runs": ("get", "runs"),
    "get runs -o wide": ("get", "runs", "-o", "wide"),
    "get flows": ("get", "flows", "-o", "wide"),
    "get schedules": ("get", "schedules", "-o", "wide"),
    "get backfills": ("get", "backfills", "-o", "wide"),
    "get -o yaml": ("get", "run", "r", "-o", "yaml"),
    "get -o json": ("get", "run", "r", "-o", "json"),
    "get -o json of all": ("get", "flows", "-o", "json"),
    "graph": ("graph", "run/r"),
    "graph -o mermaid": ("graph", "run/r", "-o", "mermaid"),
    "graph -o dot": ("graph", "run/r", "-o", "dot"),
    "graph -o svg": ("graph", "run/r", "-o", "svg"),
    "schedule preview": ("schedule", "preview", "s"),
    "approve": ("approve", "r", "load", "-m", EVIL),
    "cancel": ("cancel", "r"),
    "suspend": ("suspend", "r"),
    "retry": ("retry", "r", "--name", "again"),
    "run with a bad param": ("run", "orders", "-p", "count=" + EVIL),
    "an error that quotes a name": ("describe", "a" + EVIL),
    "an error of the API server": ("run", "orders", "--name", "bad" + EVIL),
    "doctor": ("doctor",),
}


@pytest.fixture
def evil(objects, core, namespace) -> None:
    """Objects of each kind whose texts hold what drives a terminal, in every field that takes any text."""
    version = "penstock.dev/v1alpha1"
    metadata = {"annotations": {"note": EVIL}}
    objects.create({
        "apiVersion": version,
        "kind": "Flow",
        "metadata": {"name": "f", **metadata},
        "spec": {
            "description": EVIL,
            "params": [{"name": "p", "description": EVIL, "default": EVIL}],
            "tasks": [{"name": "load", "image": EVIL, "command": [EVIL]}],
        },
    })  # fmt: skip
    run = {"flow": {"name": "f"}, "params": {"p": EVIL}}
    objects.create({"apiVersion": version, "kind": "FlowRun", "metadata": {"name": "r", **metadata}, "spec": run})
    objects.set_status(
        "r",
        "Failed",
        {
            "name": "load",
            "state": "Failed",
            "reason": "ExitCode",
            "exitCode": 3,
            "message": EVIL,
            "attempt": 2,
            "pod": EVIL,
            "node": EVIL,
            "outputs": {"o": EVIL},
            "attempts": [{"attempt": 1, "reason": "ExitCode", "message": EVIL, "exitCode": 3}],
        },
        is_finished=True,
        message=EVIL,
        reason="TasksFailed",
        outputs={"o": EVIL},
        params={"p": EVIL},
    )
    uid = objects.run("r")["metadata"]["uid"]
    about = {"apiVersion": version, "kind": "FlowRun", "name": "r", "namespace": namespace, "uid": uid}
    event = {"metadata": {"name": "r.1"}, "involvedObject": about, "reason": EVIL, "message": EVIL, "type": "Warning"}
    core.create_namespaced_event(namespace, event)
    template = {"runTemplate": {"spec": {"flow": {"name": "f"}, "params": {"p": EVIL}}}}
    objects.create(
        {
            "apiVersion": version,
            "kind": "Schedule",
            "metadata": {"name": "s"},
            "spec": {"cron": ["0 * * * *"], **template},
        }
    )
    period = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    spec = {"schedule": {"name": "s"}, **period}
    objects.create({"apiVersion": version, "kind": "Backfill", "metadata": {"name": "b"}, "spec": spec})
    condition = {
        "type": "Finished",
        "status": "True",
        "reason": "Failed",
        "message": EVIL,
        "lastTransitionTime": "2026-11-22T12:00:00Z",
    }
    ready = {**condition, "type": "Ready", "status": "False"}
    for kind, name, conditions in (
        ("flows", "f", [ready]),
        ("schedules", "s", [ready]),
        ("backfills", "b", [condition]),
    ):
        objects.patch_status(kind, name, {"conditions": conditions})


ALL_COMMANDS = """
import contextlib, json, sys
from penstock.cli.main import main
for name, words in json.loads(sys.argv[1]).items():
    print(f"BEGIN {name}", flush=True)
    with contextlib.suppress(SystemExit):
        main([*words, *sys.argv[2:]])
    print(f"END {name}", flush=True)
"""
"""Types one command after the other: the program starts once."""


@pytest.mark.usefixtures("evil")
def test_nothing_of_an_object_drives_the_terminal(kubeconfig, namespace):
    place = ["--kubeconfig", str(kubeconfig), "-n", namespace]
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    program = [sys.executable, "-c", ALL_COMMANDS, json.dumps(COMMANDS), *place]
    with Terminal(program, environment, columns=200) as terminal:
        assert terminal.end() == 0
        # The terminal itself turns each newline into CR LF.
        screen = terminal.shown.replace("\r\n", "\n")
    shown = {name: screen.partition(f"BEGIN {name}\n")[2].partition(f"END {name}\n")[0] for name in COMMANDS}
    assert [name for name, text in shown.items() if not text or "Traceback" in text] == []
    driving = {name: DRIVING.findall(_without_own_styles(name, text)) for name, text in shown.items()}
    assert {name: found for name, found in driving.items() if found} == {}
    # What was replaced is visible.
    assert "ok␛]52;c;ZXZpbA==␇␛[2J␛[H�2J" in shown["describe"]


def _without_own_styles(name: str, text: str) -> str:
    text = STYLES.sub("", text)
    # A live display moves the cursor.
    return CURSOR.sub("", text).replace("\r", "") if name.startswith("watch") else text


@pytest.mark.usefixtures("evil")
@pytest.mark.parametrize("read", [pytest.param(json.loads, id="json"), pytest.param(yaml.safe_load, id="yaml")])
def test_a_program_reads_the_very_text(kubeconfig, namespace, read: Callable[[str], Any]):
    output = "json" if read is json.loads else "yaml"
    words = ("get", "run", "r", "-o", output, "--kubeconfig", str(kubeconfig), "-n", namespace)
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", *words], capture_output=True, text=True, check=True
    )
    assert not DRIVING.findall(done.stdout)
    assert read(done.stdout)["status"]["outputs"] == {"o": EVIL}
