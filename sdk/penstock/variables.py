"""Variables: values that are set outside of flows."""

from __future__ import annotations

from penstock.authoring.variables import Variable

__all__ = ["Variable"]
