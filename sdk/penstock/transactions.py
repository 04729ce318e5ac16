"""Transactions: groups of tasks that are committed or rolled back together."""

from __future__ import annotations

from penstock.authoring.transactions import Transaction, transaction

__all__ = ["Transaction", "transaction"]
