"""Tasks that are all kept or all undone."""

from __future__ import annotations

from penstock.authoring.transactions import Transaction, transaction

__all__ = ["Transaction", "transaction"]
