"""Inputs of people, under the name that Prefect's module has."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.local.run_input import RunInput

__all__ = ["RunInput"]

refuse_others(__name__)
