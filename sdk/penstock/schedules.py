"""Schedules of deployments."""

from __future__ import annotations

from penstock.authoring.deployments.schedules import Cron, Interval, RRule, Timing
from penstock.authoring.prefect.not_offered import refuse_others

__all__ = ["Cron", "Interval", "RRule", "Timing"]

refuse_others(__name__)
