"""Code sources: the Git repository from which Pods fetch the code of a flow, if it is not in their image."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from penstock.errors import CommandError

GIT: Final = "git+"
SUBDIRECTORY: Final = "subdirectory"
COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
SSH: Final = "ssh"
SCHEMES: Final = ("https", "http", SSH, "git", "file")
ZIP: Final = ".zip"
_USER: Final = re.compile(r"(?<=://)[^/@#]*@")


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
        CommandError: it is invalid. The message never contains what may be a password or a token.
    """
    rest, _, fragment = text.partition("#")
    shown = _USER.sub("***@", text)
    if not rest.startswith(GIT) or "://" not in rest:
        raise CommandError(
            f"--source {shown}: must be git+https://HOST/REPOSITORY@REF, with #subdirectory=FOLDER if needed"
        )
    scheme, _, place = rest.removeprefix(GIT).partition("://")
    if scheme not in SCHEMES:
        raise CommandError(f"--source {shown}: unknown scheme {scheme}: use one of {', '.join(SCHEMES)}")
    host, slash, path = place.partition("/")
    user, at, _ = host.rpartition("@")
    # The user of an SSH URL is an account's name, mostly `git`. Of the others it is a token or comes with one.
    if at and (":" in user or scheme != SSH):
        raise CommandError(
            f"--source {shown}: the URL contains a password or a token before the @, which would be readable in the"
            " Flow: leave it out, and give Pods a credential helper or an SSH key by podTemplate"
        )
    path, _, ref = path.partition("@")
    folder = parse_qs(fragment).get(SUBDIRECTORY, [""])[0].strip("/")
    if ".." in folder.split("/"):
        raise CommandError(
            f"--source {shown}: #{SUBDIRECTORY}={folder}: must be a folder of the repository, without '..'"
        )
    return GitSource(f"{scheme}://{host}{slash}{path}", ref or "HEAD", folder)
