"""Flows."""

from __future__ import annotations

from penstock.authoring.flow import Flow, flow

__all__ = ["Flow", "flow"]
