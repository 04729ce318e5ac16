"""Which files of a folder an image build can see, by the rules of `.dockerignore`.

Docker's documentation of the build context has the rules: the last pattern that matches decides, `!` brings back, a
pattern that matches a folder covers what is in it, `*` stays within one name and `**` doesn't.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pattern:
    """One line of the file.

    Attributes:
        glob: what it says, without the `!`.
        regex: the same for whole paths.
        brings_back: whether it began with a `!`.
    """

    glob: str
    regex: re.Pattern[str]
    brings_back: bool

    def may_bring_back_below(self, folder: str) -> bool:
        """Whether something inside an ignored folder may be seen because of it."""
        return self.brings_back and (self.glob.startswith(f"{folder}/") or bool(set(self.glob) & set("*?[")))


def read_patterns(context: Path, dockerfile: Path) -> list[Pattern]:
    """Those of `DOCKERFILE.dockerignore` beside the Dockerfile, else of the context."""
    for file in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore"):
        if file.exists():
            return parse_patterns(file.read_text())
    return []


def parse_patterns(text: str) -> list[Pattern]:
    """The patterns of a file, comments and empty lines left out."""
    patterns = []
    for line in text.splitlines():
        glob = line.strip()
        if not glob or glob.startswith("#"):
            continue
        brings_back = glob.startswith("!")
        glob = os.path.normpath(glob.removeprefix("!").strip()).strip("/")
        patterns.append(Pattern(glob=glob, regex=re.compile(_to_regex(glob)), brings_back=brings_back))
    return patterns


def is_ignored(path: str, patterns: Sequence[Pattern]) -> bool:
    """Whether a path, relative to the context and with slashes, is left out."""
    parts = path.split("/")
    upward = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    ignored = False
    for pattern in patterns:
        if pattern.brings_back == ignored and any(pattern.regex.fullmatch(part) for part in upward):
            ignored = not pattern.brings_back
    return ignored


def visible_files(context: Path, patterns: Sequence[Pattern]) -> Iterator[Path]:
    """The files and links that a build can see, in order of their names."""
    for folder, folders, files in os.walk(context):
        here = Path(folder)
        relative = here.relative_to(context)
        folders[:] = sorted(name for name in folders if _is_worth_a_look((relative / name).as_posix(), patterns))
        links = [name for name in folders if (here / name).is_symlink()]
        for name in sorted([*files, *links]):
            if not is_ignored((relative / name).as_posix(), patterns):
                yield here / name


def _is_worth_a_look(folder: str, patterns: Sequence[Pattern]) -> bool:
    return not is_ignored(folder, patterns) or any(pattern.may_bring_back_below(folder) for pattern in patterns)


def _to_regex(glob: str) -> str:
    regex, index = "", 0
    while index < len(glob):
        if glob.startswith("**/", index):
            regex, index = regex + "(?:.*/)?", index + 3
        elif glob.startswith("**", index):
            regex, index = regex + ".*", index + 2
        elif glob[index] == "*":
            regex, index = regex + "[^/]*", index + 1
        elif glob[index] == "?":
            regex, index = regex + "[^/]", index + 1
        elif glob[index] == "[" and (end := glob.find("]", index)) > 0:
            regex, index = regex + glob[index : end + 1].replace("[!", "[^"), end + 1
        else:
            regex, index = regex + re.escape(glob[index]), index + 1
    return regex
