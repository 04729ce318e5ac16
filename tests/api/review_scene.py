"""The admission webhook of a replica, called by the API server about a test's namespace."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client as kubernetes_client

from penstock.api.kind import KINDS
from penstock.api.names import GROUP, VERSION
from tests.cluster.certificates import Authority

LOOPBACK = "127.0.0.1"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def write_certificate(folder: Path) -> bytes:
    """Write `tls.crt` and `tls.key` of a server on this machine; returns the certificate of their authority."""
    pair = Authority.create(folder / "authority").sign(
        "server", subject="/CN=webhook", alternative_names=[f"IP:{LOOPBACK}"]
    )
    shutil.copy(pair.certificate, folder / "tls.crt")
    shutil.copy(pair.key, folder / "tls.key")
    return (folder / "authority/ca.crt").read_bytes()


@contextmanager
def configured(
    api: kubernetes_client.ApiClient, namespace: str, *, url: str, authority: bytes, **fields: Any
) -> Iterator[None]:
    """Have the API server call the webhooks below a URL about everything in a namespace.

    Args:
        api: the official client.
        namespace: which, unless `fields` select others; also the name of the configuration.
        url: of the webhooks.
        authority: certificate of the authority that signed theirs.
        fields: further ones of each webhook, or other values.
    """
    admission_api = kubernetes_client.AdmissionregistrationV1Api(api)
    configuration: Any = {
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": f"{kind.plural}.{GROUP}",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: namespace}},
                "clientConfig": {
                    "url": f"{url}/{kind.plural}",
                    "caBundle": base64.b64encode(authority).decode(),
                },
                "rules": [
                    {
                        "apiGroups": [GROUP],
                        "apiVersions": [VERSION],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": [kind.plural],
                    }
                ],
                **fields,
            }
            for kind in KINDS
        ],
    }
    admission_api.create_validating_webhook_configuration(configuration)
    try:
        yield
    finally:
        admission_api.delete_validating_webhook_configuration(namespace)


def recording_webhooks(
    rendered: Sequence[Mapping[str, Any]], *, url: str, authority: bytes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the chart's webhooks that record who did what, and that about approvals, at a replica on this machine.

    Args:
        rendered: the objects of a release.
        url: where the replica is.
        authority: certificate of the authority that signed theirs.
    """
    found = []
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        body = next(dict(each) for each in rendered if each["kind"] == kind)
        hooks = [each for each in body["webhooks"] if each["name"].split(".")[0] in ("audit", "approvals")]
        for hook in hooks:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {"url": f"{url}{path}", "caBundle": base64.b64encode(authority).decode()}
        found.append({**body, "webhooks": hooks})
    return found[0], found[1]
