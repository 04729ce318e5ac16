"""The corpus of manifests: the API server's verdict and ours agree, and so does what they read."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import pytest
from kubernetes import client as kubernetes_client

from penstock.api.kind import KINDS
from penstock.api.names import GROUP, VERSION
from penstock.cli.manifests.lint import lint
from penstock.cli.manifests.manifest import Document, read_documents
from tests.manifests import OBJECTS, SCALARS, with_param

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]


class Verdict(NamedTuple):
    """What the API server says of a manifest."""

    is_accepted: bool
    spec: Any
    """As it would be stored."""
    message: str


Judge = Callable[[str], Verdict]


@pytest.fixture
def judge(api: kubernetes_client.ApiClient, namespace: str) -> Judge:
    """Send a manifest as it stands in its file, as `kubectl create --dry-run=server --validate=strict` would."""

    def judge(text: str) -> Verdict:
        plural = next(kind.plural for kind in KINDS if f"kind: {kind.name}\n" in text.replace("\r", "")) if (
            not text.startswith("{")
        ) else "flowruns"  # fmt: skip
        headers = {"Content-Type": "application/yaml", "Accept": "application/json"}
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}"
        url = f"{api.configuration.host}{path}?dryRun=All&fieldValidation=Strict"
        api.update_params_for_auth(headers, [], ["BearerToken"], path, "POST", None)
        reply = api.rest_client.pool_manager.request("POST", url, body=text.encode(), headers=headers)
        body = json.loads(reply.data)
        is_accepted = reply.status == HTTPStatus.CREATED
        return Verdict(is_accepted, body.get("spec"), "" if is_accepted else body["message"])

    return judge


def normal(value: Any) -> Any:
    """A value as the API server stores it: a null is nothing in a spec, and big numbers are floating ones."""
    if isinstance(value, dict):
        return {name: normal(one) for name, one in value.items()}
    if isinstance(value, list):
        return [normal(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) >= 2**63 else value
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value


def without_nulls(spec: Any) -> Any:
    return {name: value for name, value in spec.items() if value is not None}


@pytest.mark.parametrize(
    "text",
    [pytest.param(with_param(value), id=value or "nothing") for value in SCALARS]
    + [pytest.param(text, id=name) for name, text in OBJECTS.items()],
)
def test_the_api_server_and_lint_agree_on_a_manifest_and_read_the_same(judge: Judge, text: str):
    verdict = judge(text)
    findings, objects = lint({"it.yaml": text})

    said = [str(finding) for finding in findings]
    assert verdict.is_accepted == (not findings and objects == 1), f"{verdict.message!r}, but lint says {said}"
    if verdict.is_accepted:
        (document,) = read_documents(text)
        assert isinstance(document, Document)
        assert normal(without_nulls(document.content["spec"])) == normal(verdict.spec)
