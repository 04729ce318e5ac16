"""`penstock explain`: the meaning of a state or a reason, without a cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from penstock.api.states import STATES
from penstock.cli.text.echo import echo
from penstock.engine.reasons import REASONS
from penstock.engine.suggestion import suggest
from penstock.errors import CommandError

BUDGETS: Final = {
    "limit": "The attempt counts against retry.limit.",
    "infrastructure": "The attempt counts against retry.infrastructure.",
    "none left": "The task is not retried.",
}
"""By the budget that the vocabulary of reasons names."""


def command(arguments: argparse.Namespace) -> int:
    """Explain one word, or list all."""
    for line in explain(arguments.word) if arguments.word else list_words():
        echo(line)
    return 0


def explain(word: str) -> Iterator[str]:
    """Explain a state or a reason.

    Args:
        word: the word, in any case.

    Returns:
        Lines.

    Raises:
        CommandError: the word is neither a state nor a reason.
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
    # Compared without case.
    words = {**states, **reasons}
    hint = suggest(name, words)
    for near, spelt in words.items():
        hint = hint.replace(f'"{near}"', f'"{spelt}"')
    raise CommandError(f"{word} is neither a state nor a reason{hint}; penstock explain lists all")


def list_words() -> Iterator[str]:
    """List every state and every reason, each with its meaning."""
    width = max(len(word) for word in (*STATES, *REASONS))
    yield "States:"
    yield from (f"  {state:{width}}  {text.meaning}" for state, text in STATES.items())
    yield "Reasons:"
    yield from (f"  {reason:{width}}  {text.meaning}" for reason, text in REASONS.items())


def _explain_state(state: str) -> Iterator[str]:
    text = STATES[state]
    yield f"{state} is a {'final ' if text.is_final else ''}state."
    yield f"  {text.meaning}"
