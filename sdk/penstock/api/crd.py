"""Makes CustomResourceDefinitions from the models.

What a structural schema may contain: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
custom-resource-definitions/#specifying-a-structural-schema. In short: no references, a type on every node, no
alternatives of types except integer or string, and only the keywords of JSON Schema that Kubernetes supports.
"""

from __future__ import annotations

import math
from typing import Any, Final

from penstock.api.base import ApiModel
from penstock.api.kind import Column, Kind
from penstock.api.marker import ATOMIC_LIST, UNRULED, Rule
from penstock.api.names import GROUP, VERSION

MAX_INT32: Final = 2**31 - 1

Schema = dict[str, Any]

_REFERENCE: Final = "#/$defs/"
_NULL: Final = {"type": "null"}
_INTEGER_AND_STRING: Final = {"integer", "string"}
_CHECKS: Final = (
    "pattern",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
"""Keywords that are the same in JSON Schema and in a structural schema."""
_CONVERTED: Final = {"type", "format", "description", "default", "items", "required", "properties"}
_CONVERTED_FROM_JSON_SCHEMA_ONLY: Final = {"title", "$defs", "const", "additionalProperties"}
_RULES_AND_MERGING: Final = {"x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"}
_KNOWN: Final = {*_CHECKS, *_CONVERTED, *_CONVERTED_FROM_JSON_SCHEMA_ONLY}


def custom_resource_definition(kind: Kind) -> Schema:
    """Make the CustomResourceDefinition of a kind.

    Returns:
        The object, its keys in the usual order for readers.
    """
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_printer_column(column) for column in kind.columns]
        + [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
        "schema": {"openAPIV3Schema": _root(kind)},
    }
    if kind.selectable_fields:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable_fields]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.resource, "labels": {"app.kubernetes.io/part-of": "penstock"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short_name],
                "categories": ["penstock"],
            },
            "versions": [version],
        },
    }


def structural_schema(model: type[ApiModel]) -> Schema:
    """Make the structural schema of a model.

    Raises:
        ValueError: the model refers to itself, or uses a feature that structural schemas do not have.
    """
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}), (model.__name__,))


def _root(kind: Kind) -> Schema:
    spec = structural_schema(kind.spec)
    spec["description"] = f"Written by the user. {spec['description']}"
    status = structural_schema(kind.status)
    status["description"] = f"Written by the operator. {status['description']}"
    name = Rule(
        f"self.metadata.name.size() <= {kind.max_name}",
        f"the name of a {kind.name} must have at most {kind.max_name} characters: {kind.why_max_name}",
        ".metadata.name",
    )
    return {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind.name},
            # A rule can refer to a field only if the schema has it; the API server supplies the rest.
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": [rule.to_schema() for rule in (name, *kind.rules)],
    }


def _printer_column(column: Column) -> Schema:
    printed: Schema = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }
    return {**printed, "priority": 1} if column.is_wide else printed


def _structural(schema: Schema, definitions: Schema, seen: tuple[str, ...]) -> Schema:
    """Convert one node; `seen` names the models that contain it."""
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix(_REFERENCE)
        if name in seen:
            raise ValueError(f"{name} refers to itself: {' -> '.join((*seen, name))}")
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _structural({**definitions[name], **beside}, definitions, (*seen, name))
    if "anyOf" in schema:
        return _structural_alternatives(schema, definitions, seen)
    if UNRULED in schema:
        whole = {key: value for key, value in schema.items() if key != UNRULED}
        unruled: Schema = _without_rules(_structural(whole, definitions, seen))
        return unruled
    extensions = {key: value for key, value in schema.items() if key.startswith("x-kubernetes-")}
    if unknown := schema.keys() - _KNOWN - extensions.keys():
        raise ValueError(f"in {seen[-1]}: a structural schema has no {', '.join(sorted(unknown))}")
    return {
        **_type(schema),
        **_description(schema),
        **_checks(schema),
        **_children(schema, definitions, seen),
        **extensions,
    }


def _type(schema: Schema) -> Schema:
    if "type" not in schema:
        return {"x-kubernetes-preserve-unknown-fields": True}
    if schema["type"] == "integer":
        fits = schema.get("minimum", -math.inf) >= -MAX_INT32 and schema.get("maximum", math.inf) <= MAX_INT32
        return {"type": "integer", "format": "int32" if fits else "int64"}
    return {key: schema[key] for key in ("type", "format") if key in schema}


def _description(schema: Schema) -> Schema:
    return {"description": " ".join(schema["description"].split())} if "description" in schema else {}


def _checks(schema: Schema) -> Schema:
    checks: Schema = {key: schema[key] for key in _CHECKS if key in schema}
    return {**checks, "enum": [schema["const"]]} if "const" in schema else checks


def _children(schema: Schema, definitions: Schema, seen: tuple[str, ...]) -> Schema:
    children: Schema = {"required": schema["required"]} if schema.get("required") else {}
    if "properties" in schema:
        children["properties"] = {
            name: _structural(child, definitions, seen) for name, child in schema["properties"].items()
        }
    if "items" in schema:
        children["items"] = _structural(schema["items"], definitions, seen)
    values = schema.get("additionalProperties", False)
    if values is True:
        # Any JSON, also null, which would be dropped if not allowed. Not `x-kubernetes-preserve-unknown-fields` on the
        # object itself: a rule that compares two such objects would consider {a: 1} and {b: 1} equal.
        children["additionalProperties"] = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
    elif values:
        children["additionalProperties"] = _structural(values, definitions, seen)
    return children


def _without_rules(node: Any) -> Any:
    """Remove the rules from a converted node and all below it, and make its lists atomic."""
    if isinstance(node, list):
        return [_without_rules(value) for value in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _without_rules(value) for key, value in node.items() if key not in _RULES_AND_MERGING}
    return {**kept, **ATOMIC_LIST.keys} if "x-kubernetes-list-type" in node else kept


def _structural_alternatives(schema: Schema, definitions: Schema, seen: tuple[str, ...]) -> Schema:
    """Convert `int | str`, and `X | None` to X: optional fields may be left out, but not set to null."""
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    alternatives = [alternative for alternative in schema["anyOf"] if alternative != _NULL]
    if len(alternatives) == 1:
        return _structural({**alternatives[0], **beside}, definitions, seen)
    if {alternative.get("type") for alternative in alternatives} != _INTEGER_AND_STRING:
        raise ValueError(f"in {seen[-1]}: only an integer or a string can be alternatives")
    # The API server requires the alternatives in exactly this form; each check applies to values of its own type.
    result: Schema = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    for alternative in alternatives:
        result |= _checks(alternative)
    return {**_description(schema), **result}
