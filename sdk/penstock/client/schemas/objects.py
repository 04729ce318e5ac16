"""Types of runs and states, for annotations and comparisons."""

from __future__ import annotations

from penstock.authoring.flow import Flow
from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.runs.runs import FlowRun, TaskRun
from penstock.authoring.runs.states import FINAL_TYPES as TERMINAL_STATES
from penstock.authoring.runs.states import State, StateType

__all__ = ["TERMINAL_STATES", "Flow", "FlowRun", "State", "StateType", "TaskRun"]

refuse_others(__name__)
