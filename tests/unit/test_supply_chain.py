"""What the image and the checks are made from is pinned, and the image says what is in it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import penstock

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "requirements" / "bill_of_materials.py"
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u7
Description: GNU C Library
 Shared libraries

Package: removed
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2025b-0+deb12u1
"""


@pytest.fixture
def program() -> ModuleType:
    specification = importlib.util.spec_from_file_location("bill_of_materials", PROGRAM)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_action_is_pinned_to_a_commit():
    lines = [line for path in (ROOT / ".github/workflows").glob("*.yaml") for line in path.read_text().splitlines()]
    used = [line.partition("uses:")[2].strip() for line in lines if "uses:" in line]
    assert used
    # With the version beside it, for people and for what proposes updates.
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_the_base_image_is_pinned_by_its_digest():
    assert re.search(r"^ARG BASE=python:[\w.-]+@sha256:[0-9a-f]{64}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_updates_of_what_is_pinned_are_proposed():
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"docker", "github-actions"}


def test_the_bill_of_materials_lists_every_locked_package_of_the_image(tmp_path):
    output = tmp_path / "sbom.json"
    site_packages = sysconfig.get_path("purelib")
    subprocess.run([sys.executable, str(PROGRAM), f"--site-packages={site_packages}", f"--output={output}"], check=True)
    document = json.loads(output.read_text())
    listed = {each["name"]: each["version"] for each in document["components"]}
    lock = (ROOT / "requirements" / "operator.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", lock, re.MULTILINE))  # without those of other platforms
    assert len(locked) > 20
    assert {name: listed.get(name) for name in locked} == locked
    assert document["metadata"]["component"]["version"] == penstock.__version__
    assert all(each["purl"].startswith("pkg:") for each in document["components"])


def test_the_bill_of_materials_lists_the_packages_of_debian(program, tmp_path):
    (tmp_path / "status").write_text(STATUS)
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    found = list(program.debian_packages(tmp_path / "status", tmp_path / "os-release"))
    assert [each["purl"] for each in found] == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u7?arch=amd64&distro=debian-12",
        "pkg:deb/debian/tzdata@2025b-0%2Bdeb12u1?arch=all&distro=debian-12",
    ]
    assert list(program.debian_packages(tmp_path / "none", tmp_path / "os-release")) == []


def test_the_same_packages_give_the_same_bill_of_materials(program):
    one, other = ({"bom-ref": name, "name": name} for name in "ab")
    first, second = (program.bill_of_materials(each, version="1") for each in ([one, other], [other, one]))
    assert first == second
    assert first["serialNumber"] != program.bill_of_materials([one], version="1")["serialNumber"]
