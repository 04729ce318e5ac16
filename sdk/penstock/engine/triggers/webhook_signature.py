"""Signatures of webhooks, as Standard Webhooks 1.0 has them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: the sender signs
`ID.TIMESTAMP.BODY` with HMAC-SHA256 and sends `webhook-id`, `webhook-timestamp` and `webhook-signature`, which may hold
several signatures, each `v1,BASE64`. The timestamp is that of the attempt, the id that of the message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix of secrets
VERSION: Final = "v1"
TOLERANCE_S: Final = 300
"""How far a timestamp may be from now, in both directions: the clocks of sender and receiver differ."""
SECRET_BYTES: Final = (24, 64)
"""Least and greatest length that the standard requires."""
MAX_SECRETS: Final = 4
MAX_SIGNATURES: Final = 8
MAX_ID: Final = 256
_ID: Final = re.compile(rf"[!-\-/-~]{{1,{MAX_ID}}}")
"""No dot: with one, ID.TIMESTAMP.BODY could be read in two ways, and a signature be used for another body."""
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")


class SecretError(ValueError):
    """An invalid signing secret. The message never contains the secret."""


class Headers(NamedTuple):
    """The headers of a delivery."""

    id: str
    timestamp: int
    signatures: tuple[bytes, ...]


def read_headers(headers: Mapping[str, str], now: float) -> Headers | None:
    """Read the headers of a delivery.

    Args:
        headers: by their names in lower case.
        now: seconds since the epoch.

    Returns:
        The headers; None if one is missing or invalid, or if the timestamp is too far from now.
    """
    delivery = headers.get(ID_HEADER, "")
    timestamp = headers.get(TIMESTAMP_HEADER, "")
    if not _ID.fullmatch(delivery) or not _TIMESTAMP.fullmatch(timestamp) or abs(int(timestamp) - now) > TOLERANCE_S:
        return None
    signatures = []
    for signature in headers.get(SIGNATURE_HEADER, "").split()[:MAX_SIGNATURES]:
        version, _, text = signature.partition(",")
        if version == VERSION and (digest := _decode(text)) is not None:
            signatures.append(digest)
    return Headers(delivery, int(timestamp), tuple(signatures)) if signatures else None


def read_secrets(text: str) -> list[bytes]:
    """Read the value of a Secret: one signing secret on each line.

    Raises:
        SecretError: it holds none, too many, or an invalid one.
    """
    lines = text.split()
    if not 1 <= len(lines) <= MAX_SECRETS:
        raise SecretError(f"must have 1 to {MAX_SECRETS} signing secrets, each on its own line")
    return [_read_secret(line) for line in lines]


def _read_secret(text: str) -> bytes:
    key = _decode(text.removeprefix(SECRET_PREFIX)) if text.startswith(SECRET_PREFIX) else None
    if key is None:
        raise SecretError(f"a signing secret must be {SECRET_PREFIX} followed by base64")
    least, most = SECRET_BYTES
    if not least <= len(key) <= most:
        raise SecretError(f"a signing secret must have {least} to {most} bytes; got {len(key)}")
    return key


def is_signed(headers: Headers, body: bytes, secrets: list[bytes]) -> bool:
    """Whether one of the secrets signed a delivery. Takes as long for a wrong signature as for a right one.

    Args:
        headers: of the delivery.
        body: its body, byte for byte.
        secrets: the keys.
    """
    signed = False
    for secret in secrets:
        digest = sign(headers.id, headers.timestamp, body, secret)
        for signature in headers.signatures:
            signed |= hmac.compare_digest(digest, signature)
    return signed


def sign(delivery: str, timestamp: int, body: bytes, secret: bytes) -> bytes:
    """Return the signature of a delivery, as bytes."""
    return hmac.digest(secret, f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256)


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
