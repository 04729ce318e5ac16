"""Penstock's Helm chart: its directory, and the release that owns the CRDs of a cluster."""

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
"""Annotations in which Helm stores the owner of an object (https://helm.sh/docs/topics/charts_tips_and_tricks)."""
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Release(NamedTuple):
    """A Helm release."""

    name: str
    namespace: str

    def __str__(self) -> str:
        """Return the text for messages."""
        return f"{self.name} in namespace {self.namespace}"


class InstalledCrds(NamedTuple):
    """The CRDs in a cluster."""

    exist: bool
    owner: Release | None = None
    """The release that owns them; it may no longer exist."""


def find_chart(package: Path | None = None) -> Path:
    """Return the directory of the chart: in the installed package, or next to it in a checkout.

    Args:
        package: the directory of the package; default: this package.

    Raises:
        CommandError: there is no chart.
    """
    package = package or Path(penstock.__file__).parent
    for folder in (package / "chart", package.parents[1] / "helm" / "penstock"):
        if (folder / "Chart.yaml").is_file():
            return folder
    raise CommandError(f"{package} contains no chart: use --chart with a directory or oci://...")


def find_crds(cluster: Cluster) -> InstalledCrds:
    """Find the CRDs in a cluster, and the release that owns them."""
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
    """Return the values of the chart for an image.

    Args:
        image: `REPOSITORY[:TAG][@sha256:...]`.

    Raises:
        CommandError: it is invalid.
    """
    rest, _, digest = image.partition("@")
    head, slash, last = rest.rpartition("/")
    name, colon, tag = last.partition(":")
    if not name or (colon and not tag) or ("@" in image and not DIGEST.fullmatch(digest)) or "," in image:
        raise CommandError(f"--image {image}: must be REPOSITORY:TAG or REPOSITORY@sha256:...")
    return [f"image.repository={head}{slash}{name}", f"image.tag={tag}", f"image.digest={digest}"]
