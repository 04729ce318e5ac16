"""Writes the bill of materials of the image, as CycloneDX JSON: every package of Python and of Debian in it.

    python3 bill_of_materials.py --site-packages DIR --output FILE

It runs inside the build of the image, with nothing but the standard library. The same content gives the same bytes.
https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

DPKG_STATUS = Path("/var/lib/dpkg/status")
OS_RELEASE = Path("/etc/os-release")
SPEC_VERSION = "1.6"
NAMESPACE = uuid.UUID("6c1a3ad8-5a0a-5c55-9df0-5ae6e4d6c0fd")
"""Of the serial numbers, which are hashes of the content."""


def python_packages(site_packages: Path) -> Iterator[dict[str, Any]]:
    """List the packages that are installed in a folder."""
    for found in distributions(path=[str(site_packages)]):
        name = found.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        component = _component(name, found.version, f"pkg:pypi/{quote(name)}@{quote(found.version)}")
        yield component | _license(found)


def debian_packages(status: Path, os_release: Path) -> Iterator[dict[str, Any]]:
    """List the packages that dpkg has installed; none where there is no dpkg."""
    if not status.exists():
        return
    release = dict(line.partition("=")[::2] for line in os_release.read_text().splitlines() if "=" in line)
    distribution, version_id = (release.get(key, "").strip('"') for key in ("ID", "VERSION_ID"))
    for paragraph in status.read_text().split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in paragraph.splitlines() if line[:1].strip())
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name, version, machine = fields["Package"], fields["Version"], fields["Architecture"]
        purl = (
            f"pkg:deb/{distribution}/{quote(name)}@{quote(version)}?arch={machine}&distro={distribution}-{version_id}"
        )
        yield _component(name, version, purl)


def bill_of_materials(components: list[dict[str, Any]], *, version: str) -> dict[str, Any]:
    """Build the document.

    Args:
        components: the packages.
        version: of Penstock.
    """
    ordered = sorted({each["bom-ref"]: each for each in components}.values(), key=lambda each: str(each["bom-ref"]))
    content = json.dumps(ordered, sort_keys=True)
    subject = {"type": "container", "bom-ref": "penstock", "name": "penstock", "version": version}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, content)}",
        "version": 1,
        "metadata": {"component": subject},
        "components": ordered,
        "dependencies": [{"ref": "penstock", "dependsOn": [each["bom-ref"] for each in ordered]}],
    }


def _component(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _license(found: Distribution) -> dict[str, Any]:
    expression = found.metadata.get("License-Expression")
    if expression:
        return {"licenses": [{"expression": expression}]}
    classifiers = [each for each in found.metadata.get_all("Classifier") or () if each.startswith("License :: ")]
    return (
        {"licenses": [{"license": {"name": each.rpartition(" :: ")[2]}} for each in classifiers]} if classifiers else {}
    )


def main() -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site-packages", type=Path, required=True, help="folder of the installed Python packages")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    options = parser.parse_args()
    interpreter = platform.python_version()
    components = [
        _component("python", interpreter, f"pkg:generic/python@{interpreter}"),
        *python_packages(options.site_packages),
        *debian_packages(DPKG_STATUS, OS_RELEASE),
    ]
    versions = {each["name"]: each["version"] for each in components}
    document = bill_of_materials(components, version=versions["penstock"])
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
