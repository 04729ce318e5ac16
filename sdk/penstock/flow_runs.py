"""Pausing flow runs until a person answers."""

from __future__ import annotations

from penstock.authoring.pause import apause_flow_run, pause_flow_run
from penstock.authoring.prefect.not_offered import refuse_others

__all__ = ["apause_flow_run", "pause_flow_run"]

refuse_others(__name__)
