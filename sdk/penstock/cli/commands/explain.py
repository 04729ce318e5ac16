"""`penstock explain`: what a state or a reason means, without a cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from penstock.api.states import STATES
from penstock.engine.reasons import REASONS
from penstock.engine.suggestion import suggest
from penstock.errors import CommandError

BUDGETS: Final = {
    "limit": "An attempt that ends so counts against retry.limit.",
    "infrastructure": "An attempt that ends so counts against retry.infrastructure.",
    "none left": "The task is not tried again, whatever is left of its budgets.",
}
"""What the vocabulary's words for budgets mean."""


def command(arguments: argparse.Namespace) -> int:
    """Print what a word means, or every word with its meaning."""
    for line in explain(arguments.word) if arguments.word else list_words():
        print(line)
    return 0


def explain(word: str) -> Iterator[str]:
    """Explain a state or a reason.

    Args:
        word: the word, in any case.

    Returns:
        Lines.

    Raises:
        CommandError: there is no such word; says which is near.
    """
    states = {state.lower(): state for state in STATES}
    reasons = {str(reason).lower(): reason for reason in REASONS}
    name = word.lower()
    if name in states:
        return _explain_state(states[name])
    if name in reasons:
        text = REASONS[reasons[name]]
        lines = [f"{reasons[name]} is a reason.", f"  {text.meaning}", f"  What to do: {text.advice}"]
        return iter([*lines, f"  {BUDGETS[text.budget]}"] if text.budget in BUDGETS else lines)
    # Capitals are no slip: they are left out of the comparison.
    words = {**states, **reasons}
    hint = suggest(name, words)
    for near, spelt in words.items():
        hint = hint.replace(f'"{near}"', f'"{spelt}"')
    raise CommandError(f"{word} is neither a state nor a reason{hint}; penstock explain lists them all")


def list_words() -> Iterator[str]:
    """List every state and every reason, each with its meaning."""
    width = max(len(word) for word in (*STATES, *REASONS))
    yield "States:"
    yield from (f"  {state:{width}}  {text.meaning}" for state, text in STATES.items())
    yield "Reasons:"
    yield from (f"  {reason:{width}}  {text.meaning}" for reason, text in REASONS.items())


def _explain_state(state: str) -> Iterator[str]:
    text = STATES[state]
    yield f"{state} is a state; {'it is final' if text.is_final else 'it may change'}."
    yield f"  {text.meaning}"
