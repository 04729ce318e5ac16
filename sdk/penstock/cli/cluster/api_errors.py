"""Turns errors of the client into messages."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Final

import urllib3.exceptions
from kubernetes.client.exceptions import ApiException

from penstock.errors import CommandError, RefusalError

BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
GONE: Final = 410
INVALID: Final = 422
TOO_MANY_REQUESTS: Final = 429
SERVER_ERROR: Final = 500
_DENIED: Final = re.compile(r'^admission webhook "[^"]*\.penstock\.dev" denied the request: ')
"""How the API server begins a refusal of our webhook, which names the field itself."""


@contextlib.contextmanager
def translate_errors(host: str) -> Iterator[None]:
    """Translate the exceptions that the client raises within the block.

    Args:
        host: address of the API server.

    Raises:
        RefusalError: the API server rejected the request.
        CommandError: the API server cannot be reached, or an object in its answer cannot be decoded.
    """
    try:
        yield
    except ApiException as error:
        raise RefusalError(refusal_message(error.status, error.body, error.reason), error.status) from error
    except urllib3.exceptions.HTTPError as error:
        raise CommandError(f"cannot reach the API server at {host}: {_root_cause(error)}") from error
    except RecursionError as error:
        raise CommandError("an object is nested too deeply to be watched") from error


def is_transient(error: Exception) -> bool:
    """Whether a retry may succeed."""
    if not isinstance(error, ApiException):
        return True
    return error.status == TOO_MANY_REQUESTS or (error.status or 0) >= SERVER_ERROR


def refusal_message(status: int, body: str | bytes | None, reason: str | None) -> str:
    """Return why a request was rejected.

    Args:
        status: HTTP status of the response.
        body: its body; a `Status` object if the API server itself responded.
        reason: HTTP reason phrase.
    """
    message = reason
    with contextlib.suppress(ValueError, AttributeError):
        message = json.loads(body or "").get("message") or message
    if status == UNAUTHORIZED:
        return "the API server rejected the credentials of the kubeconfig"
    if status == FORBIDDEN:
        return f"not allowed: {message}"
    return _DENIED.sub("", str(message))


def _root_cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return _root_cause(reason) if isinstance(reason, BaseException) else str(error)
