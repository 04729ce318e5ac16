"""Blocks of your own: pydantic models that are saved and loaded by name."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.local.blocks.block import Block

__all__ = ["Block"]

refuse_others(__name__)
