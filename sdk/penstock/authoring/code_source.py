"""Where Pods fetch the code of a flow from, if it is not in their image."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from penstock.errors import CommandError

GIT: Final = "git+"
SUBDIRECTORY: Final = "subdirectory"
COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
SCHEMES: Final = ("https", "http", "ssh", "git", "file")
ZIP: Final = ".zip"


class GitSource(NamedTuple):
    """Where code is, as pip writes it: `git+https://host/repository@ref#subdirectory=folder`."""

    url: str
    ref: str
    subdirectory: str

    def __str__(self) -> str:
        """Return it as pip writes it."""
        end = f"#{SUBDIRECTORY}={self.subdirectory}" if self.subdirectory else ""
        return f"{GIT}{self.url}@{self.ref}{end}"


def read_source(text: str) -> GitSource:
    """Read a source as it is typed.

    Raises:
        CommandError: it is none.
    """
    rest, _, fragment = text.partition("#")
    if not rest.startswith(GIT) or "://" not in rest:
        raise CommandError(
            f"--source {text}: write git+https://HOST/REPOSITORY@REF, with #subdirectory=FOLDER if needed"
        )
    scheme, _, place = rest.removeprefix(GIT).partition("://")
    if scheme not in SCHEMES:
        raise CommandError(f"--source {text}: git can't be asked by {scheme}: write one of {', '.join(SCHEMES)}")
    host, slash, path = place.partition("/")
    if "@" in host and ":" in host.rpartition("@")[0]:
        raise CommandError(
            "--source: a password in the URL would stand in the Flow for everybody to read; give Pods a credential"
            " helper or a key of git's, by podTemplate"
        )
    path, _, ref = path.partition("@")
    folders = parse_qs(fragment).get(SUBDIRECTORY, [""])
    return GitSource(f"{scheme}://{host}{slash}{path}", ref or "HEAD", folders[0].strip("/"))
