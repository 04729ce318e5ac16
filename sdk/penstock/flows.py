"""Flows."""

from __future__ import annotations

from penstock.authoring.deployment import serve
from penstock.authoring.flow import Flow, flow
from penstock.authoring.not_offered import refuse_others

__all__ = ["Flow", "flow", "serve"]

refuse_others(__name__)
