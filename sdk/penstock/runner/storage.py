"""Where results are kept that are too big for outputs: a folder that all Pods share, or an object store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Protocol

from penstock.authoring.call import STORAGE
from penstock.errors import ResultError

if TYPE_CHECKING:
    from pathlib import Path

_FILE: Final = "file://"
_SCHEMES: Final = ("s3://", "gs://", "az://", "abfs://", "azure://", "gcs://", "s3a://")


class UnreachableError(ResultError):
    """The storage could not be written or read: it may answer next time."""


class NotStoredError(ResultError):
    """Nothing is kept under a URL."""


class Storage(Protocol):
    """Keeps bytes by their place below one URL."""

    def write(self, place: str, data: bytes) -> str:
        """Keep bytes, and return the URL under which any Pod finds them.

        Raises:
            ResultError: they can't be kept.
        """

    def url(self, place: str) -> str:
        """Return that URL without keeping anything."""


def storage() -> Storage | None:
    """Return the flow's storage, if it has one.

    Raises:
        ResultError: its URL is of no kind that is known.
    """
    url = os.environ.get(STORAGE, "").rstrip("/")
    return open_storage(url) if url else None


def open_storage(url: str) -> Storage:
    """Return the storage below a URL, or in a folder.

    Raises:
        ResultError: the URL is of no kind that is known.
    """
    if "://" not in url or url.startswith(_FILE):
        from pathlib import Path  # noqa: PLC0415 - a tenth of a task's start

        return _Folder(Path(url.removeprefix(_FILE)))
    _check(url)
    return _Bucket(url)


def fetch(url: str) -> bytes:
    """Return the bytes that were kept.

    Raises:
        NotStoredError: there is nothing.
        ResultError: they can't be had.
    """
    if "://" not in url:
        from pathlib import Path  # noqa: PLC0415 - as above

        try:
            return Path(url).read_bytes()
        except FileNotFoundError as error:
            raise NotStoredError(
                f"there is no {url}: all tasks need that folder, which is gone with its run if it is a workspace"
            ) from error
        except OSError as error:
            raise UnreachableError(
                f"the result in {url} can't be read ({error.strerror}): all tasks of the flow need that folder"
            ) from error
    _check(url)
    base, _, name = url.rpartition("/")
    return _Bucket(base).read(name)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, place: str) -> str:
        return str(self._folder / place)

    def write(self, place: str, data: bytes) -> str:
        path = self._folder / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not at all, whoever else writes the same.
            draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
            draft.write_bytes(data)
            draft.replace(path)
        except OSError as error:
            raise UnreachableError(
                f"the result can't be written to {path} ({error.strerror}): check {STORAGE}, and that the folder is"
                " mounted and may be written to"
            ) from error
        return str(path)


class _Bucket:
    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, place: str) -> str:
        return f"{self._url}/{place}"

    def write(self, place: str, data: bytes) -> str:
        import obstore  # noqa: PLC0415 - most tasks have small results

        try:
            obstore.put(self._store(), place, data)
        except Exception as error:
            raise UnreachableError(f"the result can't be written to {self._url}/{place}: {_told(error)}") from error
        return self.url(place)

    def read(self, place: str) -> bytes:
        import obstore  # noqa: PLC0415 - as above

        try:
            return bytes(obstore.get(self._store(), place).bytes())
        except FileNotFoundError as error:
            raise NotStoredError(f"there is no {self._url}/{place}") from error
        except Exception as error:
            raise UnreachableError(f"the result in {self._url}/{place} can't be read: {_told(error)}") from error

    def _store(self) -> Any:
        from obstore.store import from_url  # noqa: PLC0415 - as above

        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        options: dict[str, Any] = {}
        if self._url.startswith("s3"):
            if endpoint:
                options["endpoint"] = endpoint
            if "AWS_REGION" not in os.environ and "AWS_DEFAULT_REGION" not in os.environ:
                options["region"] = "us-east-1"
        if endpoint.startswith("http://"):
            options["client_options"] = {"allow_http": True}
        return from_url(self._url, **options)


def _check(url: str) -> None:
    if not url.startswith(_SCHEMES):
        raise ResultError(f"{STORAGE}={url}: results go to a folder, or to one of {', '.join(_SCHEMES[:3])}...")
    try:
        import obstore  # noqa: F401, PLC0415 - as above
    except ImportError as error:
        raise ResultError(
            f"results go to {url}, for which the image has no library: install penstock[storage] in it"
        ) from error


def _told(error: Exception) -> str:
    """Return the first line of what the library says: the rest is its debug output."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
