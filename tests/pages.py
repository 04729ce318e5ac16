"""The objects that stand in pages of the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from penstock.api import names

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: Path, language: str) -> list[str]:
    """Return what stands fenced in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def complete_blocks(page: Path, language: str) -> list[str]:
    """Return what stands fenced in a page, without the blocks below a comment that calls them fragments."""
    pattern = rf"^(<!-- fragment[^\n]*-->\n)?```{language}\n(.*?)^```$"
    found = re.findall(pattern, page.read_text(), re.DOTALL | re.MULTILINE)
    return [block for fragment, block in found if not fragment]


def objects(page: str) -> list[dict[str, Any]]:
    """Return the objects of ours that a page of docs/ has, in their order."""
    found = [yaml.safe_load(block) or {} for block in blocks(DOCS / page, "yaml")]
    return [each for each in found if isinstance(each, dict) and each.get("apiVersion") == names.API_VERSION]


def find(page: str, kind: str) -> dict[str, Any]:
    """Return the first object of a kind that a page of docs/ has."""
    return next(each for each in objects(page) if each["kind"] == kind)
