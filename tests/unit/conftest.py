"""What tests of Python flows have in common."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A folder of its own for what runs keep, and no run to resume."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("PENSTOCK_HOME", str(folder))
    monkeypatch.delenv("PENSTOCK_RESUME", raising=False)
    return folder


@pytest.fixture
def sleeps(monkeypatch):
    """The waits before retries, in seconds, none of which takes any time."""
    waited: list[float] = []
    monkeypatch.setattr("penstock.local.lifecycle.lifecycle_step.sleep", waited.append)

    def call_at_once(delay_s, function):
        waited.append(delay_s)
        function()

    monkeypatch.setattr("penstock.local.threads.timer.TIMER.call_later", call_at_once)
    return waited
