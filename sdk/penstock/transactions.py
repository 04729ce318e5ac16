"""Transactions: groups of tasks that are committed or rolled back together."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.transactions import (
    CommitMode,
    IsolationLevel,
    Transaction,
    TransactionState,
    get_transaction,
    transaction,
)

AsyncTransaction = Transaction
atransaction = transaction

__all__ = [
    "AsyncTransaction",
    "CommitMode",
    "IsolationLevel",
    "Transaction",
    "TransactionState",
    "atransaction",
    "get_transaction",
    "transaction",
]

refuse_others(__name__)
