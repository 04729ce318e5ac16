"""The webhook's certificate, and the token in its path: files of mounted Secrets, read again when they change."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import ssl
from pathlib import Path
from typing import Final

from penstock.kube.errors import ConfigurationError

logger = logging.getLogger(__name__)

TOKEN: Final = re.compile(r"[a-z0-9]{32,128}")
"""The API server accepts a path whose parts are names as DNS has them: https://www.rfc-editor.org/rfc/rfc1123."""


class Certificate:
    """A server certificate that is replaced while we serve, as a mounted Secret is.

    Args:
        folder: holds `tls.crt` and `tls.key`.
    """

    def __init__(self, folder: Path) -> None:
        self._certificate = folder / "tls.crt"
        self._key = folder / "tls.key"
        self._seen: tuple[int, ...] = ()
        self._current: ssl.SSLContext | None = None

    def load(self) -> ssl.SSLContext:
        """Make the context to listen with; it checks for a new certificate at every new connection.

        Raises:
            ConfigurationError: the files are not there, or do not fit together.
        """
        try:
            self._seen = _stamp(self._certificate, self._key)
            context = self._current = self._read()
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"cannot read the webhook's certificate from {self._certificate} and {self._key.name}: {error}"
            ) from error
        context.sni_callback = self._renew
        return context

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate, self._key)
        return context

    def _renew(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # OpenSSL calls this in the middle of every handshake, with a server name or without.
        try:
            stamp = _stamp(self._certificate, self._key)
            if stamp != self._seen:
                self._current = self._read()
                self._seen = stamp
                logger.info("Reloaded the webhook's certificate")
        except (OSError, ssl.SSLError) as error:
            # Half written: the next connection checks again.
            logger.warning("Cannot read the webhook's new certificate yet; keeping the current one: %s", error)
        if self._current is not None:
            connection.context = self._current


class CallerToken:
    """The token by which the API server proves that it is the caller: it is in the path of the webhook.

    Args:
        path: the file that contains it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._current = b""

    def load(self) -> None:
        """Read the token for the first time.

        Raises:
            ConfigurationError: the file does not exist, or contains no valid token.
        """
        try:
            self._seen, self._current = _stamp(self._path), self._read()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cannot read the webhook's token from {self._path}: {error}") from error

    def matches(self, text: str, *, purpose: str = "") -> bool:
        """Whether a text is the token, compared in constant time.

        Args:
            text: what a caller has sent.
            purpose: of a derived token, from which the token itself does not follow; the chart derives it likewise.
        """
        try:
            stamp = _stamp(self._path)
            if stamp != self._seen:
                self._seen, self._current = stamp, self._read()
                logger.info("Reloaded the webhook's token")
        except (OSError, ValueError) as error:
            logger.warning("Cannot read the webhook's new token yet; keeping the current one: %s", error)
        expected = self._current
        if purpose:
            expected = hashlib.sha256(expected + f"-{purpose}".encode()).hexdigest().encode()
        return hmac.compare_digest(text.encode(), expected)

    def _read(self) -> bytes:
        text = self._path.read_text().strip()
        if not TOKEN.fullmatch(text):
            raise ValueError("it must have 32 to 128 lower-case letters and digits")
        return text.encode()


def _stamp(*paths: Path) -> tuple[int, ...]:
    return tuple(
        value
        for stat in map(os.stat, paths)  # follows the symbolic links by which a Secret is mounted
        for value in (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    )
