"""Flows."""

from __future__ import annotations

from penstock.authoring.deployments.deployment import serve
from penstock.authoring.flow import Flow, flow
from penstock.authoring.prefect.not_offered import refuse_others

__all__ = ["Flow", "flow", "serve"]

refuse_others(__name__)
