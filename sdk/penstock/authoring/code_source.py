"""Code sources: the Git repository from which Pods fetch the code of a flow, if it is not in their image."""

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
    """A Git repository in the notation of pip: `git+https://host/repository@ref#subdirectory=folder`."""

    url: str
    ref: str
    subdirectory: str

    def __str__(self) -> str:
        """Return it in the notation of pip."""
        end = f"#{SUBDIRECTORY}={self.subdirectory}" if self.subdirectory else ""
        return f"{GIT}{self.url}@{self.ref}{end}"


def read_source(text: str) -> GitSource:
    """Parse a source.

    Raises:
        CommandError: it is invalid.
    """
    rest, _, fragment = text.partition("#")
    if not rest.startswith(GIT) or "://" not in rest:
        raise CommandError(
            f"--source {text}: must be git+https://HOST/REPOSITORY@REF, with #subdirectory=FOLDER if needed"
        )
    scheme, _, place = rest.removeprefix(GIT).partition("://")
    if scheme not in SCHEMES:
        raise CommandError(f"--source {text}: unknown scheme {scheme}: use one of {', '.join(SCHEMES)}")
    host, slash, path = place.partition("/")
    if "@" in host and ":" in host.rpartition("@")[0]:
        raise CommandError(
            "--source: the URL contains a password, which would be readable in the Flow; give Pods a credential"
            " helper or an SSH key by podTemplate instead"
        )
    path, _, ref = path.partition("@")
    folders = parse_qs(fragment).get(SUBDIRECTORY, [""])
    return GitSource(f"{scheme}://{host}{slash}{path}", ref or "HEAD", folders[0].strip("/"))
