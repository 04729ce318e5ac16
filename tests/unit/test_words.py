"""The words of code, messages and pages: those of Kubernetes and Prefect, so that a reader's first guess is right.

Two kinds are refused: words and phrases that have no ordinary meaning here, wherever they stand, in identifiers too
(`goes_on` is "goes on"); and, in identifiers only, ordinary words that served as names for something that has a name of
its own in the field.
"""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PHRASES = {
    r"engine[-\s]?rooms?": "FlowRun controller",
    r"anterooms?": "pending runs",
    r"condemned": "orphan, or a run that cannot continue",
    r"strays?": "orphan",
    r"desks?": "key worker",
    r"belongings": "attempt files",
    r"let(?:s|ting)? (?:it |them |the pods? |pods? |a pod |\w+ pods? )?go(?: of)?": "remove the finalizer",
    r"for ever": "forever",
    r"anew": "again",
    r"go(?:es)? on\b(?! PATH)": "runs, or continues",
    r"nobody says": "the cause is unknown",
    r"(?<!there\s)(?:is|are) no (?!(?:longer|more|later|earlier|sooner|less|different|such)\b)\w+": "is not a",
    r"can(?:'t|not) be (?:had|listened)": "could not be evaluated, or cannot be watched",
    r"can(?:'t|not) work": "is invalid",
    r"(?:tasks?|runs?|items?|attempts?) (?:is|are|was|were) over": "finished",
    r"tasks? over": "tasks finished",
    r"ma(?:de|kes?|king) up": "runs a Schedule for a past period",
    r"whoever is told|who is told|who are told|is told of": "observers, or is notified of",
}
"""Phrases that are refused everywhere, each with what to say in its place."""

PRODUCT_PHRASES = {
    r"nobody|somebody": "the passive voice, or which user",
    r"tells?|told|hears?|heard": "report, notify, show, distinguish",
    r"(?:could|can) (?:not |never )?be had": "acquired, or not available",
    r"look(?:s|ed)? at again": "read, or reconciled, again",
}
"""Phrases that are refused in what users read and what is installed, each with what to say in its place."""

PRODUCT = ("sdk/", "operator/", "helm/", "docs/", "crds/", "examples/ported/", "README.md")

EXCEPTIONS = {
    "CHANGELOG.md",
    "LICENSE",
    "tests/unit/test_words.py",
}
"""Files of other times, of others' words, and this one."""

NAMES = {
    "anteroom": "pending",
    "audience": "observers",
    "belongings": "files",
    "board": "run",
    "carrier": "container runtime",
    "census": "initial sync",
    "condemned": "orphan",
    "desk": "key worker",
    "doubt": "recheck",
    "doubtful": "recheck",
    "hear": "on_pod, record",
    "heard": "observed",
    "lane": "pool",
    "learn": "record",
    "over": "finished",
    "quiet": "idle",
    "room": "controller, executor",
    "rung": "due timer",
    "stray": "orphan",
    "strays": "orphans",
    "tell": "report, notify, record",
    "told": "reported, notified, recorded",
    "unit": "task instance",
    "units": "task instances",
}
"""Words that are refused as parts of names, each with what to say in its place."""

ORDINARY_IN_SENTENCES = {"over", "room"}
"""Words that a test's name, which is a sentence, may have: `a_fan_out_over_nothing`, `leaves_no_room`."""

NAMED_PHRASES = PHRASES | {r"(?:is|are|was|were)(?: \w+)? over$": "finished"}
"""Phrases that are refused in names, each with what to say in its place."""

ALLOWED_NAMES = {
    "NOT_MADE_UP",
    "QUIET_LOGGERS",
    "closing_over",
    "hand_over",
    "is_quiet",
    "loops_over_a_param",
    "loops_over_nothing",
    "quiet",
    "quiet_level",
    "sent_over",
    "unit",
}
"""Names in which such a word has its ordinary meaning (a log level, an option, a unit), or is part of the API."""

NOT_OURS = ("compat/programs/",)
"""Programs in the words of Prefect's users."""


def tracked() -> list[str]:
    """Return the texts of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    kinds = {".py", ".md", ".yaml", ".tpl", ".txt", ".json", ".sh", ".toml"}
    return [each for each in listed if Path(each).suffix in kinds and each not in EXCEPTIONS and "/go/" not in each]


def identifiers(source: str) -> set[str]:
    """Return every name that a module gives: to classes, functions, arguments, variables and attributes."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def words_of(name: str) -> list[str]:
    """Split a name at its joints: `HTTPServer` and `http_server` are both http, server."""
    return [each.lower() for each in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


@pytest.mark.parametrize("phrase", PHRASES | PRODUCT_PHRASES)
def test_a_phrase_without_an_ordinary_meaning_stands_nowhere(phrase):
    # A phrase may be broken over two lines, of a comment too.
    pattern = re.compile(rf"\b(?:{phrase})\b".replace(" ", r"(?: |\n[ #]*)"), re.IGNORECASE)
    found = []
    for file in tracked():
        if phrase in PRODUCT_PHRASES and not file.startswith(PRODUCT):
            continue
        text = (ROOT / file).read_text()
        starts = [match.start() for match in pattern.finditer(text)]
        found += [f"{file}:{text.count(chr(10), 0, start) + 1}: {text[start : start + 40]}" for start in starts]
    assert not found, f"say: {(PHRASES | PRODUCT_PHRASES)[phrase]}\n" + "\n".join(found)


def better_names(name: str) -> list[str]:
    """Return what to say in place of each word and phrase of a name that is refused."""
    words = words_of(name)
    ordinary = ORDINARY_IN_SENTENCES if name.startswith("test_") else set()
    refused = [NAMES[word] for word in words if word in NAMES and word not in ordinary]
    return refused + [say for phrase, say in NAMED_PHRASES.items() if re.search(rf"\b(?:{phrase})\b", " ".join(words))]


def test_no_name_is_made_of_a_word_that_the_field_does_not_use():
    found = []
    for file in tracked():
        if file.endswith(".py") and not file.startswith(NOT_OURS):
            for name in sorted(identifiers((ROOT / file).read_text()) - ALLOWED_NAMES):
                found += [f"{file}: {name}: say {say}" for say in better_names(name)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "is_refused"),
    [
        ("is_over", True),
        ("all_are_over", True),
        ("is_nearly_over", True),
        ("UNTIL_TOLD", True),
        ("test_a_task_is_over_when_main_is", True),
        ("test_a_run_goes_on_when_it_is_resumed", True),
        ("test_a_fan_out_over_nothing_is_skipped", False),
        ("has_finished", False),
    ],
)
def test_a_name_is_read_by_its_words(name, is_refused):
    assert bool(better_names(name)) is is_refused


def test_no_file_is_named_by_a_word_that_the_field_does_not_use():
    found = [
        f"{file}: say {NAMES[word]}"
        for file in tracked()
        if file.endswith(".py")
        for word in words_of(Path(file).stem)
        if word in NAMES
    ]
    assert not found, "\n".join(found)
