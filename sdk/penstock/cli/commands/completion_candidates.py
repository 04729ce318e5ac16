"""Candidates for the next word of an incomplete command line, for shells.

The parser says what is expected; names of objects come from the cluster.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from penstock.cli.cluster.kinds import RESOURCES, find_resource
from penstock.errors import PenstockError

RESOURCES_OF: Final = {
    "RUN": ("flowruns",),
    "FLOW": ("flows",),
    "FLOW|FILE": ("flows",),
    "FLOW|RUN": ("flows", "flowruns"),
    "SCHEDULE": ("schedules",),
}
"""Resources whose names are candidates, by metavar."""


class Candidate(NamedTuple):
    """A word that can come next."""

    word: str
    text: str = ""
    """Its description, for shells that show one."""


class Expected(NamedTuple):
    """What the parser expects at the end of the command line."""

    candidates: tuple[Candidate, ...]
    """Words that the parser knows."""
    metavar: str
    """Metavar of the expected argument: RUN, FLOW, FILE, ...; empty if none."""
    typed: argparse.Namespace
    """The arguments before it."""


def complete(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[list[Candidate], bool]:
    """Complete the last word.

    Args:
        parser: the argument parser.
        words: the words after the name of the program; the last one may be empty or incomplete.

    Returns:
        The candidates, and whether file names are candidates too.
    """
    expected = expect(parser, words)
    prefix = words[-1] if words else ""
    found: Iterable[Candidate] = expected.candidates
    if not prefix.startswith("-"):
        found = [*found, *_from_cluster(expected)]
    return [each for each in found if each.word.startswith(prefix)], "FILE" in expected.metavar


def expect(parser: argparse.ArgumentParser, words: Sequence[str]) -> Expected:
    """Find what the parser expects in place of the last word."""
    walk = _Walk(parser)
    for word in words[:-1]:
        walk.consume_word(word)
    if words and words[-1].startswith("-") and walk.awaited is None:
        return Expected(tuple(_options(walk.parser)), "", walk.typed)
    action = walk.awaited or next(iter(walk.positionals), None)
    if action is None:
        return Expected((), "", walk.typed)
    return Expected(_choices(action), action.metavar if isinstance(action.metavar, str) else "", walk.typed)


class _Walk:
    """The state of the parser after some words."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser
        self.positionals = _positionals(parser)
        self.awaited: argparse.Action | None = None
        """The option whose value comes next."""
        self.typed = argparse.Namespace(namespace=None, context=None, kubeconfig=None)

    def consume_word(self, word: str) -> None:
        """Advance by one word."""
        if self.awaited is not None:
            setattr(self.typed, self.awaited.dest, word)
            self.awaited = None
        elif word.startswith("-"):
            name, equals, value = word.partition("=")
            action = self.parser._option_string_actions.get(name)  # noqa: SLF001 - argparse has no public access to it
            if action is not None and action.nargs != 0:
                self.awaited = None if equals else action
                setattr(self.typed, action.dest, value)
        elif self.positionals:
            self._consume_positional(self.positionals[0], word)

    def _consume_positional(self, action: argparse.Action, word: str) -> None:
        setattr(self.typed, action.dest, word)
        if not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            self.positionals = self.positionals if action.nargs in {"+", "*"} else self.positionals[1:]
        elif word in action.choices:
            self.parser = action.choices[word]
            self.positionals = _positionals(self.parser)
        else:
            self.positionals = []


def _positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]  # noqa: SLF001 - as above


def _options(parser: argparse.ArgumentParser) -> Iterator[Candidate]:
    for action in parser._actions:  # noqa: SLF001 - as above
        for option in action.option_strings:
            if option.startswith("--"):
                yield Candidate(option, action.help or "")


def _choices(action: argparse.Action) -> tuple[Candidate, ...]:
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
        return tuple(Candidate(each.dest, each.help or "") for each in action._choices_actions)  # noqa: SLF001 - as above
    if action.choices:
        return tuple(Candidate(str(choice)) for choice in action.choices)
    if action.metavar == "KIND":
        return tuple(Candidate(resource.words[0]) for resource in RESOURCES)
    if action.metavar in {"STATE", "STATE|REASON"}:
        from penstock.api.states import STATES  # noqa: PLC0415 - few completions need them
        from penstock.engine.reasons import REASONS  # noqa: PLC0415 - as above

        states = [Candidate(state, text.meaning) for state, text in STATES.items()]
        return tuple(
            states + [Candidate(reason, text.meaning) for reason, text in REASONS.items()] * ("|" in action.metavar)
        )
    return ()


def _from_cluster(expected: Expected) -> list[Candidate]:
    """Get names from the cluster; none on errors, which completion must not print."""
    metavar = expected.metavar
    if metavar == "NAME" and getattr(expected.typed, "kind", None):
        with contextlib.suppress(PenstockError):
            return _names(expected.typed, (find_resource(expected.typed.kind).plural,))
    if metavar == "OBJECT":
        return _objects(expected.typed)
    if metavar == "TASK" and getattr(expected.typed, "run", None):
        return _tasks(expected.typed)
    if metavar == "KEY=VALUE":
        return _params(expected.typed)
    return _names(expected.typed, RESOURCES_OF.get(metavar, ()))


def _names(typed: argparse.Namespace, plurals: Sequence[str]) -> list[Candidate]:
    if not plurals:
        return []
    from penstock.cli.cluster.access import METADATA_LIST, Cluster  # noqa: PLC0415 - words of the parser need no client

    found: list[Candidate] = []
    with contextlib.suppress(PenstockError):
        cluster = Cluster.connect(typed)
        for plural in plurals:
            pages = cluster.list_pages(cluster.object_path(plural), {}, accept=METADATA_LIST)
            found += [Candidate(each["metadata"]["name"]) for page in pages for each in page["items"]]
    return found


def _objects(typed: argparse.Namespace) -> list[Candidate]:
    """Get the names of a kind, if one was typed, else of all kinds."""
    with contextlib.suppress(PenstockError):
        return _names(typed, (find_resource(getattr(typed, "words", None) or "").plural,))
    return _names(typed, [resource.plural for resource in RESOURCES])


def _tasks(typed: argparse.Namespace) -> list[Candidate]:
    from penstock.cli.cluster.access import Cluster  # noqa: PLC0415 - as above
    from penstock.cli.text.progress import waiting_tasks  # noqa: PLC0415 - as above
    from penstock.drawing.task_rows import status_of  # noqa: PLC0415 - as above

    with contextlib.suppress(PenstockError):
        run = Cluster.connect(typed).get_run(typed.run)
        is_decision = typed.subcommand in {"approve", "reject"}
        tasks = waiting_tasks(run) if is_decision else status_of(run).get("tasks") or ()
        return [Candidate(task["name"], task["state"]) for task in tasks]
    return []


def _params(typed: argparse.Namespace) -> list[Candidate]:
    from penstock.api.names import LABEL_FLOW  # noqa: PLC0415 - as above
    from penstock.cli.cluster.access import Cluster  # noqa: PLC0415 - as above

    with contextlib.suppress(PenstockError, LookupError):
        cluster = Cluster.connect(typed)
        flow = getattr(typed, "flow", None)
        if name := getattr(typed, "schedule", None):
            flow = cluster.get_object("schedules", "Schedule", name)["spec"]["runTemplate"]["spec"]["flow"]["name"]
        elif name := getattr(typed, "run", None):
            flow = cluster.get_run(name)["metadata"]["labels"][LABEL_FLOW]
        if flow:
            params = cluster.get_flow(flow)["spec"].get("params") or ()
            return [Candidate(f"{param['name']}=", param.get("description") or "") for param in params]
    return []
