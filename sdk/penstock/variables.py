"""Variables: values that are set outside of flows."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.storage.variables import Variable

__all__ = ["Variable"]

refuse_others(__name__)
