"""Penstock's chart: where it is, and whose the definitions in the cluster are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import penstock
from penstock.api.kind import KINDS
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import FORBIDDEN, NOT_FOUND
from penstock.errors import CommandError, RefusalError

RELEASE: Final = "penstock"
NAMESPACE: Final = "penstock-system"
OPERATOR_LABELS: Final = "app.kubernetes.io/part-of=penstock,app.kubernetes.io/component=operator"
OWNER: Final = ("meta.helm.sh/release-name", "meta.helm.sh/release-namespace")
"""Annotations by which Helm knows what is its own (https://helm.sh/docs/topics/charts_tips_and_tricks)."""
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Release(NamedTuple):
    """A release of Helm's."""

    name: str
    namespace: str

    def __str__(self) -> str:
        """Return it as a person reads it."""
        return f"{self.name} in namespace {self.namespace}"


class InstalledCrds(NamedTuple):
    """The definitions in a cluster."""

    exist: bool
    owner: Release | None = None
    """The release that they belong to, which may be gone."""


def find_chart(package: Path | None = None) -> Path:
    """Return the folder of the chart: in the installed package, or beside it in a checkout.

    Args:
        package: the folder of the package; this one if not given.

    Raises:
        CommandError: it is in neither.
    """
    package = package or Path(penstock.__file__).parent
    for folder in (package / "chart", package.parents[1] / "helm" / "penstock"):
        if (folder / "Chart.yaml").is_file():
            return folder
    raise CommandError(f"no chart in {package}: name one with --chart, a folder or oci://...")


def find_crds(cluster: Cluster) -> InstalledCrds:
    """Look at the definitions in a cluster."""
    found = False
    for kind in KINDS:
        try:
            crd = cluster.send("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.resource}")
        except RefusalError as error:
            if error.status not in {NOT_FOUND, FORBIDDEN}:
                raise
            continue
        found = True
        name, namespace = (crd["metadata"].get("annotations", {}).get(key) for key in OWNER)
        if name and namespace:
            return InstalledCrds(exist=True, owner=Release(name, namespace))
    return InstalledCrds(exist=found)


def image_values(image: str) -> list[str]:
    """Return what to set for an image.

    Args:
        image: `REPOSITORY[:TAG][@sha256:...]`.

    Raises:
        CommandError: it is no such thing.
    """
    rest, _, digest = image.partition("@")
    head, slash, last = rest.rpartition("/")
    name, colon, tag = last.partition(":")
    if not name or (colon and not tag) or ("@" in image and not DIGEST.fullmatch(digest)) or "," in image:
        raise CommandError(f"--image {image}: write REPOSITORY:TAG or REPOSITORY@sha256:...")
    return [f"image.repository={head}{slash}{name}", f"image.tag={tag}", f"image.digest={digest}"]
