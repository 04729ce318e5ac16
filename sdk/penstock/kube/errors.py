"""Errors of requests to the API server, and how its refusals are distinguished.

They belong to the one tree of `penstock.errors`::

    PenstockError
    ├── ConfigurationError      no usable way to an API server is configured
    ├── ApiUnreachableError    no answer came from the API server
    ├── ApiError               the API server answered with a refusal
    ├── NotLeaderError         this process must not write (any more)
    └── DeposedError           another leader has written what this one was about to
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from penstock.errors import PenstockError
from penstock.kube.nesting import decode_json

QUOTA_TEXT = "is forbidden: exceeded quota: "
"""In the message of the API server's quota admission, whose refusals have neither reason nor cause of their own. (A Pod
that lacks a request that a quota wants is `failed quota`, and stays refused permanently.)"""


class ConfigurationError(PenstockError):
    """No usable way to an API server is configured."""


class ApiUnreachableError(PenstockError):
    """No answer, or no whole answer, came from the API server: it may or may not have acted."""


class NotLeaderError(PenstockError):
    """This process does not hold the Lease, or could not renew it in time: it must not write."""


class DeposedError(PenstockError):
    """Another leader has written what this process was about to write: it must end."""


class Cause(msgspec.Struct, frozen=True):
    """One of the causes of a refusal, `metav1.StatusCause`."""

    reason: str = ""
    message: str = ""
    field: str = ""


class Details(msgspec.Struct, frozen=True, rename="camel"):
    """What a refusal is about, `metav1.StatusDetails`."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True):
    """The body of a refusal, `metav1.Status`, and the object of a watch event of type ERROR."""

    reason: str = ""
    message: str = ""
    code: int = 0
    details: Details | None = None


_STATUS = msgspec.json.Decoder(Status)


class ApiError(PenstockError):
    """The API server answered with a refusal.

    Args:
        status: HTTP status code.
        reason: `metav1.StatusReason`, such as `AlreadyExists`; empty when the answer had none.
        message: the API server's text for people.
        details: what the refusal is about.
        retry_after_s: the pause that the API server asks for, seconds; None: it asks for none.
    """

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        details: Details | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details or Details()
        self.retry_after_s = retry_after_s
        title = f"{status} {reason or _phrase(status)}"
        super().__init__(f"{title}: {message}" if message else title)

    @classmethod
    def from_status(cls, status: Status, *, retry_after_s: float | None = None) -> ApiError:
        """Make the error of a decoded `metav1.Status`."""
        if retry_after_s is None and status.details is not None and status.details.retry_after_seconds:
            retry_after_s = float(status.details.retry_after_seconds)
        return cls(status.code, status.reason, status.message, status.details, retry_after_s)

    @classmethod
    def from_reply(cls, code: int, body: bytes, retry_after: str = "") -> ApiError:
        """Make the error of an HTTP reply.

        Args:
            code: HTTP status code.
            body: a `metav1.Status` as JSON, or the text of a proxy in between.
            retry_after: the header `Retry-After`; only its form in seconds is used by Kubernetes.
        """
        retry_after_s = float(retry_after) if retry_after.isdecimal() else None
        try:
            status = decode_json(_STATUS, body)
        except msgspec.DecodeError:
            status = Status(message=body[:1000].decode("utf-8", "replace").strip())
        return cls.from_status(msgspec.structs.replace(status, code=code), retry_after_s=retry_after_s)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def is_already_exists(error: ApiError) -> bool:
    """Return whether an object of that name is there already."""
    return error.reason == "AlreadyExists"


def is_not_found(error: ApiError) -> bool:
    """Return whether there is no such object, or no such kind of object."""
    return error.status == HTTPStatus.NOT_FOUND


def is_conflict(error: ApiError) -> bool:
    """Return whether another writer changed the object, or a precondition such as a uid does not hold."""
    return error.reason == "Conflict"


def is_expired(error: ApiError) -> bool:
    """Return whether a resourceVersion or a continue token is too old to continue from."""
    return error.status == HTTPStatus.GONE or error.reason in ("Expired", "Gone")


def is_namespace_terminating(error: ApiError) -> bool:
    """Return whether nothing can be created because the namespace is being deleted."""
    return any(cause.reason == "NamespaceTerminating" for cause in error.details.causes)


def is_quota(error: ApiError) -> bool:
    """Return whether a ResourceQuota has no room now; asking again later may do."""
    return error.status == HTTPStatus.FORBIDDEN and not error.details.causes and QUOTA_TEXT in error.message


def is_precondition_failed(error: ApiError) -> bool:
    """Return whether a JSON Patch did not fit the object: a `test` failed or a path does not exist.

    The API server does not say which: it answers 422 Invalid with a fixed text and empty details, while a patch whose
    result is not valid names kind and field.
    """
    return (
        error.status == HTTPStatus.UNPROCESSABLE_ENTITY
        and error.reason == "Invalid"
        and not error.details.kind
        and not error.details.causes
    )


def is_transient(error: ApiError) -> bool:
    """Return whether the same request may well succeed a little later."""
    return error.status == HTTPStatus.TOO_MANY_REQUESTS or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
