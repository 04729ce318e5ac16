"""What is generated from the models: CustomResourceDefinitions, their copies in the chart, and the API reference."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest
import yaml
from pydantic import Field

from penstock.api.base import ApiModel, Duration
from penstock.api.crd import custom_resource_definition, structural_schema
from penstock.api.flow_run import RunState, TaskState
from penstock.api.generate import generated_files, main, outdated_files
from penstock.api.kind import FLOW, FLOWRUN, KINDS, SCHEDULE, Kind
from penstock.api.marker import ATOMIC_LIST, ATOMIC_MAP, SET, Rule, map_list
from penstock.api.states import STATES

REPOSITORY = Path(__file__).parents[2]
YAML_1_1_BOOLEANS = {"y", "n", "yes", "no", "on", "off", "true", "false"}
UNTYPED = {"x-kubernetes-preserve-unknown-fields": True}
UNTYPED_MAP = {"type": "object", "additionalProperties": {**UNTYPED, "nullable": True}}

of_each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@cache
def schema_of(kind: Kind) -> dict[str, Any]:
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node below spec and status with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        if (path, name) not in {("", "apiVersion"), ("", "kind"), ("", "metadata")}:
            yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def property_of(schema: dict[str, Any], path: str) -> dict[str, Any]:
    return dict(nodes(schema))[path]


def test_the_generated_files_are_up_to_date():
    assert outdated_files(REPOSITORY) == []


@of_each_kind
def test_every_node_has_a_type_or_is_marked_as_untyped(kind):
    untyped = [
        path
        for path, node in nodes(schema_of(kind))
        if not {"type", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"} & node.keys()
    ]
    assert untyped == []


@of_each_kind
def test_every_field_is_described(kind):
    undescribed = [
        f"{path}.{name}"
        for path, node in nodes(schema_of(kind))
        if path
        for name, child in node.get("properties", {}).items()
        if not child.get("description", "").endswith(".")
    ]
    assert undescribed == []


@of_each_kind
def test_every_list_says_how_it_is_merged(kind):
    lists = {path: node for path, node in nodes(schema_of(kind)) if node.get("type") == "array"}
    assert lists
    assert [path for path, node in lists.items() if "x-kubernetes-list-type" not in node] == []
    for path, node in lists.items():
        for key in node.get("x-kubernetes-list-map-keys", []):
            assert key in node["items"]["required"], f"{path}: an element without {key} cannot be identified"


@of_each_kind
def test_every_string_list_and_map_has_a_maximum(kind):
    def is_bounded(node: dict[str, Any]) -> bool:
        match node:
            case {"type": "array"}:
                return "maxItems" in node
            case {"type": "object", "additionalProperties": _}:
                return "maxProperties" in node
            case {"type": "string"} | {"x-kubernetes-int-or-string": True}:
                return "maxLength" in node or "enum" in node
            case _:
                return True

    assert [path for path, node in nodes(schema_of(kind)) if not is_bounded(node)] == []


@of_each_kind
def test_no_integer_of_a_spec_can_be_negative_except_bounds_of_params_and_priorities(kind):
    unbounded = {
        path.rpartition(".")[2]
        for path, node in nodes(schema_of(kind))
        if node.get("type") == "integer" and path.startswith(".spec") and node.get("minimum", -1) < 0
    }
    assert unbounded <= {"minimum", "maximum", "priority"}


@of_each_kind
def test_null_means_not_given_and_only_values_of_untyped_maps_can_be_null(kind):
    assert [path for path, node in nodes(schema_of(kind)) if node.get("nullable") and not path.endswith("{}")] == []


@of_each_kind
def test_no_field_has_a_default(kind):
    # It would hide what the field inherits, and inside a list make `kubectl apply` see a change every time.
    assert [path for path, node in nodes(schema_of(kind)) if "default" in node] == []


@of_each_kind
def test_no_key_is_a_boolean_in_yaml_1_1(kind):
    keys = {path.rpartition(".")[2].rstrip("[]{}").lower() for path, _ in nodes(schema_of(kind))}
    assert keys & YAML_1_1_BOOLEANS == set()


@of_each_kind
def test_reading_the_file_gives_the_definition_back(kind):
    text = generated_files()[f"crds/penstock.dev_{kind.plural}.yaml"]
    assert yaml.safe_load(text) == custom_resource_definition(kind)


def test_a_definition_has_short_names():
    names = {crd["spec"]["names"]["kind"]: crd["spec"]["names"] for crd in map(custom_resource_definition, KINDS)}
    assert {kind: names["shortNames"] for kind, names in names.items()} == {
        "Flow": ["fl"],
        "FlowRun": ["fr"],
        "Schedule": ["fs"],
        "Backfill": ["fb"],
        "FlowDefaults": ["fd"],
    }
    assert all(each["categories"] == ["penstock"] for each in names.values())
    assert names["FlowRun"]["listKind"] == "FlowRunList"
    assert names["FlowRun"]["singular"] == "flowrun"


def test_tasks_are_identified_by_name_in_a_flow_and_replaced_as_a_whole_in_a_status():
    tasks = property_of(schema_of(FLOW), ".spec.tasks")
    assert (tasks["x-kubernetes-list-type"], tasks["x-kubernetes-list-map-keys"]) == ("map", ["name"])
    assert property_of(schema_of(FLOWRUN), ".status.tasks")["x-kubernetes-list-type"] == "atomic"


def test_no_rule_is_evaluated_inside_an_inline_spec():
    spec = property_of(schema_of(FLOWRUN), ".spec.flowSpec")
    assert spec["x-kubernetes-map-type"] == "atomic"
    assert [path for path, node in nodes(spec) if "x-kubernetes-validations" in node] == []
    assert {node.get("x-kubernetes-list-type", "atomic") for _, node in nodes(spec)} == {"atomic"}


def test_a_run_can_be_selected_by_state_and_flow():
    fields = custom_resource_definition(FLOWRUN)["spec"]["versions"][0]["selectableFields"]
    assert fields == [{"jsonPath": ".status.state"}, {"jsonPath": ".spec.flow.name"}]


def test_the_run_template_of_a_schedule_can_be_changed():
    rules = property_of(schema_of(SCHEDULE), ".spec.runTemplate.spec")["x-kubernetes-validations"]
    assert not any("oldSelf" in rule["rule"] for rule in rules)


def test_an_optional_field_is_no_longer_required_and_has_neither_null_nor_default():
    class Model(ApiModel):
        """A model."""

        wait: Duration | None = None
        """How long."""

    schema = structural_schema(Model)
    assert "required" not in schema
    assert schema["properties"]["wait"] == {
        "type": "string",
        "description": "How long.",
        "pattern": "^([0-9]{1,9}(ms|s|m|h))+$",
        "maxLength": 32,
    }


@pytest.mark.parametrize(
    ("annotation", "want"),
    [
        pytest.param(bool, {"type": "boolean"}, id="a boolean"),
        pytest.param(int, {"type": "integer", "format": "int64"}, id="a number that may be large"),
        pytest.param(
            Annotated[int, Field(ge=0, le=10)],
            {"type": "integer", "format": "int32", "minimum": 0, "maximum": 10},
            id="a number that is small",
        ),
        pytest.param(
            Annotated[int, Field(le=10)],
            {"type": "integer", "format": "int64", "maximum": 10},
            id="a number without a minimum",
        ),
        pytest.param(Literal["A", "B"], {"type": "string", "enum": ["A", "B"]}, id="one of several words"),
        pytest.param(Literal["A"], {"type": "string", "enum": ["A"]}, id="a single word"),
        pytest.param(
            Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=9)],
            {
                "x-kubernetes-int-or-string": True,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "minimum": 0,
                "maxLength": 9,
            },
            id="a number or text",
        ),
        pytest.param(Any, UNTYPED, id="any value"),
        pytest.param(dict[str, Any], UNTYPED_MAP, id="any object"),
        pytest.param(
            Annotated[dict[str, int], Field(max_length=3), ATOMIC_MAP],
            {
                "type": "object",
                "maxProperties": 3,
                "additionalProperties": {"type": "integer", "format": "int64"},
                "x-kubernetes-map-type": "atomic",
            },
            id="a map of numbers",
        ),
        pytest.param(
            Annotated[list[str], Field(max_length=3), SET],
            {"type": "array", "maxItems": 3, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            id="a set",
        ),
        pytest.param(
            Annotated[list[str], ATOMIC_LIST],
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"},
            id="a list replaced as a whole",
        ),
    ],
)
def test_a_type_becomes(annotation, want):
    model = type("Model", (ApiModel,), {"__annotations__": {"field": annotation}, "__doc__": "A model."})
    assert structural_schema(model)["properties"]["field"] == want


class Part(ApiModel):
    """A part."""

    rules = (Rule("self.name != 'x'", "call it anything but x", ".name"),)

    name: Literal["x", "z"]
    """Its name."""


def test_a_part_is_inlined_with_its_rules():
    class Whole(ApiModel):
        """A whole."""

        parts: Annotated[list[Part], map_list("name")] | None = None
        """Its parts."""

    assert structural_schema(Whole)["properties"]["parts"] == {
        "type": "array",
        "description": "Its parts.",
        "items": {
            "type": "object",
            "description": "A part.",
            "required": ["name"],
            "properties": {"name": {"type": "string", "description": "Its name.", "enum": ["x", "z"]}},
            "x-kubernetes-validations": [
                {"rule": "self.name != 'x'", "message": "call it anything but x", "fieldPath": ".name"}
            ],
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }


class Node(ApiModel):
    """A node of a tree, which no structural schema can describe."""

    children: list[Node] | None = None


@pytest.mark.parametrize(
    ("annotation", "want"),
    [
        pytest.param(Node, "Node refers to itself", id="a model within itself"),
        pytest.param(bool | str, "only an integer or a string", id="other alternatives"),
        pytest.param(Annotated[int, Field(gt=0)], "no exclusiveMinimum", id="a check that Kubernetes does not have"),
    ],
)
def test_features_that_structural_schemas_do_not_have_are_refused(annotation, want):
    model = type("Model", (ApiModel,), {"__annotations__": {"field": annotation}})
    with pytest.raises(ValueError, match=want):
        structural_schema(model)


def test_every_state_is_explained():
    assert STATES.keys() == {*get_args(RunState), *get_args(TaskState)}


def test_the_reference_has_every_field():
    text = generated_files()["docs/reference.md"]
    fields = {path.rpartition(".")[2].rstrip("[]{}") for kind in KINDS for path, _ in nodes(schema_of(kind)) if path}
    assert [field for field in sorted(fields) if f"`{field}`" not in text] == []


@pytest.fixture
def root(tmp_path):
    assert main(["--root", str(tmp_path)]) == 0
    return tmp_path


def test_the_check_accepts_what_was_just_written(root, capsys):
    assert main(["--check", "--root", str(root)]) == 0
    assert capsys.readouterr().err == ""


def test_the_check_names_files_that_changed_are_missing_or_belong_to_no_kind(root, capsys):
    (root / "crds/penstock.dev_flows.yaml").write_text("edited by hand")
    (root / "docs/reference.md").unlink()
    shutil.copy(root / "crds/penstock.dev_flowruns.yaml", root / "helm/penstock/files/crds/penstock.dev_streams.yaml")
    assert main(["--check", "--root", str(root)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in said] == [
        "crds/penstock.dev_flows.yaml",
        "docs/reference.md",
        "helm/penstock/files/crds/penstock.dev_streams.yaml",
    ]
