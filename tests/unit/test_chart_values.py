"""The chart's values.yaml and values.schema.json agree with each other and with the package."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock import __version__

CHART = Path(__file__).parents[2] / "helm" / "penstock"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def objects_of(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if "properties" in schema:
        yield path, schema
        for name, inner in schema["properties"].items():
            yield from objects_of(inner, f"{path}.{name}")
    if isinstance(items := schema.get("items"), dict):
        yield from objects_of(items, f"{path}[]")


def known_to_one(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in properties and sorted({*properties, *values}):
        if name not in properties or name not in values:
            yield f"{path}{name}"
        elif isinstance(values[name], dict) and values[name]:
            yield from known_to_one(values[name], properties[name], f"{path}{name}.")


def test_no_object_of_the_schema_lets_a_misspelt_key_through():
    lax = [path for path, schema in objects_of(SCHEMA, "values") if schema.get("additionalProperties") is not False]
    assert lax == []


def test_every_value_has_both_a_default_and_a_schema():
    # `global` belongs to Helm, claims belong to Pods; both need no default.
    assert set(known_to_one(VALUES, SCHEMA)) == {"global", "resources.claims"}


@pytest.mark.parametrize("field", ["version", "appVersion"])
def test_the_chart_has_the_version_of_the_package(field):
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())[field] == __version__


def test_the_image_is_labelled_with_the_version_of_the_package():
    assert f"ARG VERSION={__version__}\n" in (CHART.parents[1] / "Dockerfile").read_text()
