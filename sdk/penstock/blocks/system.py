"""Secrets and other single values, from the environment, a mounted Secret or a file."""

from __future__ import annotations

from penstock.authoring.not_offered import refuse_others
from penstock.local.system_blocks import JSON, DateTime, Secret, String

__all__ = ["JSON", "DateTime", "Secret", "String"]

refuse_others(__name__)
