"""Types of runs and states, for annotations and comparisons.

Under Prefect's names, for programs that import them from there. They are defined in `penstock.authoring.runs`. Schemas
of requests and filters are not here.
"""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.client.schemas.objects import Flow, FlowRun, State, StateType, TaskRun

__all__ = ["Flow", "FlowRun", "State", "StateType", "TaskRun"]

refuse_others(__name__)
