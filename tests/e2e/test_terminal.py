"""The command line at a terminal, with Pods that write something."""

from __future__ import annotations

import json
import sys

import pytest

from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import flow_run
from tests.terminal import CTRL_C, Terminal

pytestmark = pytest.mark.e2e

SCRIPT = json.dumps("#!/bin/sh\necho it begins\nuntil [ -e /tmp/go ]; do sleep 0.1; done\necho it ends\n")


@pytest.fixture
def pod(kubectl: Kubectl) -> str:
    """The Pod of a run whose task has begun, and runs until it is stopped."""
    kubectl.apply(flow_run("run", f"[{{name: talk, script: {SCRIPT}}}]"))
    return str(kubectl.reach("run", "talk", "Running")["pod"])


def at_terminal(kubectl: Kubectl, *words: str) -> Terminal:
    typed = [sys.executable, "-m", "penstock.cli.main", *words, "--namespace", kubectl.namespace]
    return Terminal(typed, kubectl.environment)


def test_a_log_is_followed_until_the_run_has_finished(kubectl: Kubectl, pod: str):
    with at_terminal(kubectl, "logs", "run", "-f") as screen:
        screen.read_until("talk | it begins")
        assert "it ends" not in screen.text
        kubectl.release(pod)
        screen.read_until("talk | it ends")
        assert screen.end() == 0


def test_ctrl_c_ends_following_and_leaves_the_run(kubectl: Kubectl, pod: str):
    with at_terminal(kubectl, "logs", "run", "-f", "--task", "talk") as screen:
        screen.read_until("it begins")
        screen.type(CTRL_C)
        assert screen.end() == 130
        assert "Traceback" not in screen.text
    kubectl.release(pod)
    assert kubectl.finish("run")["status"]["state"] == "Completed"
