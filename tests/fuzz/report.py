"""What a campaign found: counts for the summary, and findings, each with the manifests that show it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.manifests import Manifest

SHOWN_FINDINGS = 40
FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')
TRACEBACK = "Traceback (most recent call last):"


class Trace(NamedTuple):
    """A traceback in the operator's log."""

    headline: str
    """The line that it belongs to."""
    error: str
    place: str
    """The innermost frame."""


class Finding(NamedTuple):
    """Something that must not be."""

    what: str
    manifests: tuple[Path, ...]
    """Files with what shows it."""


@dataclass
class Report:
    """Counts and findings.

    Args:
        folder: for the manifests of findings.
        seed: of the campaign, for the names of the files.
    """

    folder: Path
    seed: int
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind and answer."""
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind and end."""
    findings: list[Finding] = field(default_factory=list)
    bystanders: list[float] = field(default_factory=list)
    """How long each bystander's run took, in seconds."""
    traces: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By error and place."""

    def add(self, what: str, manifests: Sequence[Manifest]) -> None:
        """Record a finding, and store its manifests for a replay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for manifest in manifests:
            path = self.folder / f"seed-{self.seed}-{manifest.number}-{manifest.kind.lower()}.json"
            path.write_text(manifest.text)
            paths.append(path)
        self.findings.append(Finding(what, tuple(paths)))

    def summary(self) -> str:
        """Return the totals, and what was found."""
        lines = [f"seed {self.seed}: {sum(self.answers.values())} manifests"]
        for title, counts in (("answers", self.answers), ("ends", self.ends)):
            lines.append(f"{title}:")
            lines += [f"  {kind:10} {what:60} {count:5}" for (kind, what), count in sorted(counts.items())]
        if self.bystanders:
            lines.append(f"bystander's runs: {len(self.bystanders)}, the slowest took {max(self.bystanders):.1f} s")
        if self.traces:
            lines.append("tracebacks in the operator's log:")
            lines += [f"  {count:4} {error[:120]} at {place}" for (error, place), count in self.traces.most_common()]
        lines.append(f"findings: {len(self.findings)}")
        for finding in self.findings[:SHOWN_FINDINGS]:
            shown = [str(path) for path in finding.manifests[:3]]
            more = f" and {len(finding.manifests) - 3} more" if len(finding.manifests) > 3 else ""
            lines.append(f"  {finding.what}\n    {' '.join(shown)}{more}")
        if len(self.findings) > SHOWN_FINDINGS:
            lines.append(f"  and {len(self.findings) - SHOWN_FINDINGS} more")
        return "\n".join(lines)


def traces_in(log: str) -> Iterator[Trace]:
    """Find the tracebacks in a log in text format; of a chain, only the last error."""
    lines = log.splitlines()
    at = 0
    while at < len(lines):
        if TRACEBACK not in lines[at]:
            at += 1
            continue
        headline, place, error = (lines[at - 1] if at else ""), "", ""
        while at < len(lines):
            line = lines[at].lstrip(" |+-")
            if frame := FRAME.match(line):
                place = f"{Path(frame['file']).name}:{frame['line']} {frame['function']}"
            elif re.match(r"[A-Za-z_.]+(Error|Exception|Group|Exit|Interrupt|Timeout)\b", line):
                error = line
            elif re.match(r"\d{4}-\d\d-\d\d[T ]", line):
                break
            at += 1
        yield Trace(headline, error, place)
