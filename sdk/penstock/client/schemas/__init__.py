"""Types of runs and states, for annotations and comparisons."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.client.schemas.objects import Flow, FlowRun, State, StateType, TaskRun

__all__ = ["Flow", "FlowRun", "State", "StateType", "TaskRun"]

refuse_others(__name__)
