"""Our CRDs on a cluster."""

from __future__ import annotations

from pathlib import Path

import yaml
from kubernetes import client as kubernetes_client
from kubernetes import watch

CRDS = Path(__file__).parents[2] / "crds"
FIELD_MANAGER = "penstock-tests"
ESTABLISHED_S = 30


def apply_crds(api: kubernetes_client.ApiClient, folder: Path = CRDS) -> None:
    """Apply our CRDs, and wait until they are established."""
    extensions = kubernetes_client.ApiextensionsV1Api(api)
    for path in sorted(folder.glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        name = crd["metadata"]["name"]
        extensions.patch_custom_resource_definition(
            name, crd, field_manager=FIELD_MANAGER, force=True, _content_type="application/apply-patch+yaml"
        )
        _wait_until_established(extensions, name)


def _wait_until_established(extensions: kubernetes_client.ApiextensionsV1Api, name: str) -> None:
    seen = "nothing"
    stream = watch.Watch()
    listing = extensions.list_custom_resource_definition
    for event in stream.stream(listing, field_selector=f"metadata.name={name}", timeout_seconds=ESTABLISHED_S):
        conditions = event["object"].status.conditions or []
        seen = ", ".join(f"{condition.type}={condition.status}" for condition in conditions)
        if any(condition.type == "Established" and condition.status == "True" for condition in conditions):
            stream.stop()
            return
    raise AssertionError(f"CRD {name} was not established within {ESTABLISHED_S} s; last seen: {seen}")
