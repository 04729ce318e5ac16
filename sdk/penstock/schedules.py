"""Schedules of deployments."""

from __future__ import annotations

from penstock.authoring.not_offered import refuse_others
from penstock.authoring.schedules import Cron, Interval, RRule, Timing

__all__ = ["Cron", "Interval", "RRule", "Timing"]

refuse_others(__name__)
