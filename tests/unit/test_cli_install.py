"""What `penstock install` decides before it asks Helm."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from penstock.cli.cluster.chart import InstalledCrds, Release, find_chart, image_values
from penstock.cli.cluster.helm import Helm
from penstock.cli.commands.installation.install import choose_release, read_options
from penstock.cli.parser import build_parser
from penstock.errors import CommandError

ROOT = Path(__file__).parents[2]
OWNER = Release("mine", "tools")


def test_the_chart_of_a_checkout_is_the_one_in_it():
    assert find_chart() == ROOT / "helm" / "penstock"


def test_without_a_chart_it_says_how_to_name_one(tmp_path):
    with pytest.raises(CommandError, match="use --chart with"):
        find_chart(tmp_path / "site-packages" / "penstock")


def test_the_wheel_has_the_whole_chart(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {
            name.removeprefix("penstock/chart/"): archive.read(name)
            for name in archive.namelist()
            if name.startswith("penstock/chart/")
        }
        assert "penstock/cli/main.py" in archive.namelist()
        assert "penstock_operator/__main__.py" in archive.namelist()
    chart = ROOT / "helm" / "penstock"
    assert packed == {str(path.relative_to(chart)): path.read_bytes() for path in chart.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("definitions", "owner_exists", "typed", "want"),
    [
        pytest.param(
            InstalledCrds(exist=False),
            False,
            (None, None),
            Release("penstock", "penstock-system"),
            id="a new cluster gets the usual release",
        ),
        pytest.param(
            InstalledCrds(exist=False), False, ("a", "b"), Release("a", "b"), id="or the one that is asked for"
        ),
        pytest.param(
            InstalledCrds(exist=True, owner=OWNER), True, (None, None), OWNER, id="what is installed is upgraded"
        ),
        pytest.param(
            InstalledCrds(exist=True, owner=OWNER),
            True,
            (None, "tools"),
            OWNER,
            id="also when only its namespace is typed",
        ),
        pytest.param(
            InstalledCrds(exist=True, owner=OWNER),
            True,
            ("other", "tools"),
            Release("other", "tools"),
            id="another one can be asked for",
        ),
        pytest.param(
            InstalledCrds(exist=True, owner=OWNER),
            False,
            (None, None),
            Release("penstock", "penstock-system"),
            id="a release that no longer exists does not decide the namespace",
        ),
    ],
)
def test_the_release_is_the_one_that_has_the_definitions(definitions, owner_exists, typed, want):
    assert choose_release(definitions, *typed, owner_exists=owner_exists) == want


DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image", "want"),
    [
        ("penstock", ("penstock", "", "")),
        ("penstock:1.2", ("penstock", "1.2", "")),
        ("reg.example:5000/team/penstock", ("reg.example:5000/team/penstock", "", "")),
        (f"reg.example:5000/penstock:1@{DIGEST}", ("reg.example:5000/penstock", "1", DIGEST)),
    ],
)
def test_an_image_is_split_into_the_values_of_the_chart(image, want):
    repository, tag, digest = want
    assert image_values(image) == [f"image.repository={repository}", f"image.tag={tag}", f"image.digest={digest}"]


@pytest.mark.parametrize("image", ["", ":1", "penstock:", "penstock@", "penstock@sha256:12", "a,b=c"])
def test_an_invalid_image_is_rejected(image):
    with pytest.raises(CommandError, match="must be REPOSITORY:TAG"):
        image_values(image)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--version", "1"], "--version requires --chart"), (["--timeout", "soon"], "--timeout soon: ")],
)
def test_options_that_do_not_fit_are_rejected(words, message):
    with pytest.raises(CommandError, match=message):
        read_options(build_parser().parse_args(["install", *words]))


def program(folder: Path, text: str) -> None:
    (folder / "helm").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "helm").chmod(0o755)


def test_without_helm_it_says_where_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match=r"helm not found on PATH.*install Helm 3.17 or later"):
        Helm.find(None, None)


def test_an_old_helm_is_refused(monkeypatch, tmp_path):
    program(tmp_path, "echo v3.11.2")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match=r"is Helm v3.11.2; 3.17 or later is required"):
        Helm.find(None, None)
