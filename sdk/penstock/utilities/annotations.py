"""Wrappers of arguments."""

from __future__ import annotations

from penstock.authoring.arguments.annotations import allow_failure, quote, unmapped
from penstock.authoring.prefect.not_offered import refuse_others

Quote = quote

__all__ = ["Quote", "allow_failure", "quote", "unmapped"]

refuse_others(__name__)
