import pytest

from penstock.api.states import STATES
from penstock.cli.commands.explain import BUDGETS, explain, list_words
from penstock.cli.main import main
from penstock.engine.reasons import REASONS, Reason
from penstock.errors import CommandError


def test_a_reason_is_explained_with_what_to_do_and_its_budget():
    assert list(explain("oomkilled")) == [
        "OOMKilled is a reason.",
        "  The container exceeded its memory limit and was killed.",
        "  What to do: Raise `resources.limits.memory` of the task, or reduce its memory use.",
        "  The attempt counts against retry.limit.",
    ]


def test_a_state_is_explained():
    first, _ = explain("Cached")
    assert first == "Cached is a final state."


@pytest.mark.parametrize("word", [*STATES, *REASONS])
def test_every_word_is_explained(word):
    assert next(iter(explain(word))).startswith(f"{word} is a ")


def test_every_budget_of_the_vocabulary_is_known():
    assert {text.budget for text in REASONS.values() if text.budget} == set(BUDGETS)


def test_an_unknown_word_is_answered_with_the_nearest_as_it_is_spelt():
    with pytest.raises(CommandError, match='did you mean "OOMKilled"'):
        explain("oomkiled")


def test_without_a_word_all_are_listed(capsys):
    assert main(["explain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(STATES) + len(REASONS) + 2
    assert len(list(list_words())) == len(STATES) + len(REASONS) + 2


def test_every_reason_is_explained():
    assert [reason for reason in Reason if reason not in REASONS] == []
