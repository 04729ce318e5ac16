"""Secrets and other single values, from the environment, a mounted Secret or a file."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.local.blocks.system_blocks import JSON, DateTime, Secret, String

__all__ = ["JSON", "DateTime", "Secret", "String"]

refuse_others(__name__)
