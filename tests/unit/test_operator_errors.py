"""Refusals, word for word as an API server of Kubernetes 1.35 wrote them."""

from __future__ import annotations

import json

import pytest

from penstock.errors import PenstockError
from penstock.kube import errors
from penstock.kube.errors import ApiError


def status(code: int, reason: str, message: str, **details: object) -> ApiError:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return ApiError.from_reply(code, json.dumps(body | {"reason": reason, "details": details, "code": code}).encode())


ALREADY_EXISTS = status(409, "AlreadyExists", 'configmaps "a" already exists', name="a", kind="configmaps")
CONFLICT = status(
    409,
    "Conflict",
    'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the '
    "latest version and try again",
    name="a",
    kind="configmaps",
)
UID_CONFLICT = status(
    409,
    "Conflict",
    'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (x) does not match the UID in record '
    "(33af1778-1578-44a4-bfdf-3036b400466c). The object might have been deleted and then recreated",
    name="a",
    kind="ConfigMap",
)
QUOTA = status(
    403,
    "Forbidden",
    'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0',
    name="p",
    kind="pods",
)
QUOTA_NEEDS_REQUESTS = status(
    403, "Forbidden", 'pods "p" is forbidden: failed quota: q: must specify requests.cpu for: m', name="p", kind="pods"
)
NO_SERVICE_ACCOUNT = status(
    403,
    "Forbidden",
    'pods "p" is forbidden: error looking up service account ns/nope: serviceaccount "nope" not found',
    name="p",
    kind="pods",
)
TERMINATING = status(
    403,
    "Forbidden",
    'configmaps "b" is forbidden: unable to create new content in namespace ns because it is being terminated',
    name="b",
    kind="configmaps",
    causes=[
        {"reason": "NamespaceTerminating", "message": "namespace ns is being terminated", "field": "metadata.namespace"}
    ],
)
PATCH_TEST_FAILED = status(422, "Invalid", "the server rejected our request due to an error in our request")
INVALID = status(
    422,
    "Invalid",
    'ConfigMap "a" is invalid: metadata.uid: Invalid value: "2": field is immutable',
    name="a",
    kind="ConfigMap",
    causes=[
        {"reason": "FieldValueInvalid", "message": 'Invalid value: "2": field is immutable', "field": "metadata.uid"}
    ],
)
NOT_FOUND = status(404, "NotFound", 'configmaps "nope" not found', name="nope", kind="configmaps")
NO_SUCH_KIND = ApiError.from_reply(404, b"404 page not found\n")
EXPIRED = status(410, "Expired", "The resourceVersion for the provided watch is too old.")
TOO_MANY = status(429, "TooManyRequests", "Too many requests, please try again later.", retryAfterSeconds=3)


@pytest.mark.parametrize(
    ("error", "want"),
    [
        pytest.param(ALREADY_EXISTS, {"is_already_exists"}, id="a name that is taken"),
        pytest.param(CONFLICT, {"is_conflict"}, id="a resourceVersion that is outdated"),
        pytest.param(UID_CONFLICT, {"is_conflict"}, id="another uid"),
        pytest.param(QUOTA, {"is_quota"}, id="a quota that is full"),
        pytest.param(QUOTA_NEEDS_REQUESTS, set(), id="a quota that wants requests"),
        pytest.param(NO_SERVICE_ACCOUNT, set(), id="a service account that is not there"),
        pytest.param(TERMINATING, {"is_namespace_terminating"}, id="a namespace that goes"),
        pytest.param(PATCH_TEST_FAILED, {"is_precondition_failed"}, id="a patch whose test failed"),
        pytest.param(INVALID, set(), id="a value that is not valid"),
        pytest.param(NOT_FOUND, {"is_not_found"}, id="an object that is not there"),
        pytest.param(NO_SUCH_KIND, {"is_not_found"}, id="a kind that is not there"),
        pytest.param(EXPIRED, {"is_expired"}, id="a version that is too old"),
        pytest.param(TOO_MANY, {"is_transient"}, id="too many requests"),
        pytest.param(ApiError(500, "InternalError"), {"is_transient"}, id="an internal error"),
    ],
)
def test_each_refusal_is_one_thing(error, want):
    predicates = [name for name in dir(errors) if name.startswith("is_")]
    assert {name for name in predicates if getattr(errors, name)(error)} == want


def test_the_pause_comes_from_the_header_else_from_the_details():
    body = json.dumps({"details": {"retryAfterSeconds": 3}}).encode()
    assert ApiError.from_reply(429, body, "5").retry_after_s == 5
    assert ApiError.from_reply(429, body).retry_after_s == 3
    assert ApiError.from_reply(429, body, "Wed, 21 Oct 2026 07:28:00 GMT").retry_after_s == 3
    assert ApiError.from_reply(500, b"").retry_after_s is None


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"\xff\xfe", b"[1]", b'{"details": "odd"}'])
def test_an_answer_of_something_in_between_is_an_error_like_any_other(body):
    error = ApiError.from_reply(502, body)
    assert error.status == 502
    assert str(error).startswith("502 Bad Gateway")


def test_every_error_is_in_the_one_tree_and_in_its_drawing():
    own = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == errors.__name__
    ]
    assert own
    for error in own:
        assert issubclass(error, PenstockError)
        assert error.__name__ in (errors.__doc__ or "")
