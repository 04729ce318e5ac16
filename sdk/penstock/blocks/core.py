"""Blocks of your own: pydantic models that are saved and loaded by name."""

from __future__ import annotations

from penstock.authoring.not_offered import refuse_others
from penstock.local.block import Block

__all__ = ["Block"]

refuse_others(__name__)
