"""Storages for results that are too big for outputs: a folder that all Pods share, or an object store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Protocol

from penstock.authoring.pods.pod_call import STORAGE
from penstock.authoring.prefect.not_offered import refuse_others
from penstock.errors import ResultError

if TYPE_CHECKING:
    from pathlib import Path

_FILE: Final = "file://"
_SCHEMES: Final = ("s3://", "gs://", "az://", "abfs://", "azure://", "gcs://", "s3a://")


class UnreachableError(ResultError):
    """The storage could not be written or read; a retry may succeed."""


class NotStoredError(ResultError):
    """Nothing is stored under a URL."""


class Storage(Protocol):
    """Stores bytes by their path below one URL."""

    def write(self, path: str, data: bytes) -> str:
        """Store bytes, and return their URL.

        Raises:
            ResultError: they cannot be stored.
        """

    def url(self, path: str) -> str:
        """Return the URL for a path, without storing anything."""


def storage() -> Storage | None:
    """Return the storage of the flow; None if it has none.

    Raises:
        ResultError: its URL is not supported.
    """
    url = os.environ.get(STORAGE, "").rstrip("/")
    return open_storage(url) if url else None


def open_storage(url: str) -> Storage:
    """Return the storage below a URL, or in a folder.

    Raises:
        ResultError: the URL is not supported.
    """
    if "://" not in url or url.startswith(_FILE):
        from pathlib import Path  # noqa: PLC0415 - a tenth of a task's start

        return _Folder(Path(url.removeprefix(_FILE)))
    _check(url)
    return _Bucket(url)


def fetch(url: str) -> bytes:
    """Return the bytes that are stored under a URL.

    Raises:
        NotStoredError: nothing is stored there.
        ResultError: they cannot be read.
    """
    if "://" not in url:
        from pathlib import Path  # noqa: PLC0415 - as above

        try:
            return Path(url).read_bytes()
        except FileNotFoundError as error:
            raise NotStoredError(
                f"{url} not found: all tasks need that folder; a workspace is deleted with its run"
            ) from error
        except OSError as error:
            raise UnreachableError(
                f"cannot read the result in {url} ({error.strerror}): all tasks of the flow need that folder"
            ) from error
    _check(url)
    base, _, name = url.rpartition("/")
    return _Bucket(base).read(name)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, path: str) -> str:
        return str(self._folder / path)

    def write(self, path: str, data: bytes) -> str:
        file = self._folder / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # Atomic, because others may write the same file.
            draft = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
            draft.write_bytes(data)
            draft.replace(file)
        except OSError as error:
            raise UnreachableError(
                f"cannot write the result to {file} ({error.strerror}): check {STORAGE}, and that the folder is mounted"
                " and writable"
            ) from error
        return str(file)


class _Bucket:
    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, path: str) -> str:
        return f"{self._url}/{path}"

    def write(self, path: str, data: bytes) -> str:
        import obstore  # noqa: PLC0415 - most tasks have small results

        try:
            obstore.put(self._store(), path, data)
        except Exception as error:
            raise UnreachableError(f"cannot write the result to {self._url}/{path}: {_first_line(error)}") from error
        return self.url(path)

    def read(self, path: str) -> bytes:
        import obstore  # noqa: PLC0415 - as above

        try:
            return bytes(obstore.get(self._store(), path).bytes())
        except FileNotFoundError as error:
            raise NotStoredError(f"{self._url}/{path} not found") from error
        except Exception as error:
            raise UnreachableError(f"cannot read the result in {self._url}/{path}: {_first_line(error)}") from error

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
        raise ResultError(f"{STORAGE}={url}: must be a folder, or a URL with one of {', '.join(_SCHEMES[:3])}...")
    try:
        import obstore  # noqa: F401, PLC0415 - as above
    except ImportError as error:
        raise ResultError(
            f"penstock with the extra storage is required for results in {url}: install it in the image"
        ) from error


def _first_line(error: Exception) -> str:
    """Return the first line of a message of the library; the rest is debug output."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


refuse_others(__name__)
