"""Values that flows read and that are set outside of them."""

from __future__ import annotations

from penstock.authoring.variables import Variable

__all__ = ["Variable"]
