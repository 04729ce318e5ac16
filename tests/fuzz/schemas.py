"""Strategies for values of a CRD's OpenAPI schema: mostly what a person might write."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.strategies import json_values

CRDS = Path(__file__).parents[2] / "crds"
DEEPEST = 6
MOST_OPTIONAL = 4
MOST_ITEMS = 3
SMALLEST, LARGEST = -(2**31), 2**31 - 1

DURATIONS = ("0s", "1s", "500ms", "30s", "5m", "1h", "24h", "999999999h", "999999999ms", "1h1h1h1h", "1ms")
TIMES = (
    "2026-10-01",
    "2026-10-01T00:00:00Z",
    "2026-10-03T12:00:00+02:00",
    "2026-11-01T01:30:00-07:00",
    "0001-01-01",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2100-02-29",
    "1969-12-31T23:59:59.999999999Z",
)
NAMES = ("a", "b", "c", "a-b", "d")
OBJECTS = ("anchor", "finished", "missing", "a", "b")
TEXTS = (
    "x",
    "$(params.day)",
    "$(params.day)-$(run.name)",
    "$(tasks.a.outputs)",
    "$(tasks.a.outputs.rows)",
    "$(tasks.b.state)",
    "$(item)",
    "$(index)",
    "$(HOME)",
    "$$(literal)",
    "$(run.state)",
    "$(",
    "$()",
    "",
)
CONDITIONS = (
    "true",
    "false",
    "params.day == '2026-11-22'",
    "tasks.a.state == 'Completed'",
    "tasks.a.outputs.rows > 0",
    "has(tasks.b.outputs.rows)",
    "params.missing",
    "1 / 0 == 1",
    "[1, 2, 3].all(x, x > 0)",
    "'x' in 5",
    "event.run.state == 'Failed'",
    "failure.exitCode > 1",
    "size(params) >",
)
CRONS = (
    "0 3 * * *",
    "@daily",
    "*/5 * * * *",
    "0 0 29 2 *",
    "0 0 31 2 *",
    "60 * * * *",
    "0 0 1 1 *",
    "* * * *",
    "@reboot",
)
RULES = (
    "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18",
    "FREQ=DAILY",
    "DTSTART:20261001T000000Z\nRRULE:FREQ=DAILY;COUNT=3",
    "FREQ=SECONDLY",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=DAILY;INTERVAL=0",
)
ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Mars/Olympus", "", "../../etc/passwd", "Etc/GMT+12")

POOLS: dict[str, tuple[Any, ...]] = {
    "image": ("busybox", "registry.example/etl:1", "$(params.image)", "UPPER/Case", "", "a b"),
    "when": CONDITIONS,
    "key": ("$(params.day)", "x", "$(item)", "$(tasks.a.outputs)", "", "$(params.missing)"),
    "cron": CRONS,
    "rrule": RULES,
    "timeZone": ZONES,
    "jitter": ("0%", "20%", "100%", "30s", "999999999h"),
    "from": TIMES,
    "to": TIMES,
    "at": TIMES,
    "dependsOn": NAMES,
    "task": NAMES,
    "flow": OBJECTS,
    "secretRef": ("penstock-webhook",),
    "size": ("1Mi", "1Gi", "0", "-1", "1e400", "x", 5),
    "mountPath": ("/workspace", "/", "relative", "/dev", ""),
    "storageClassName": ("none-such", ""),
    "serviceAccountName": ("default", "missing", "Not A Name"),
    "pattern": ("^[a-z]+$", "(a+)+$", "[", ".*", "(?=x)"),
    "apiVersion": ("v1", "batch/v1", "v1beta9"),
    "kind": ("ConfigMap", "Job", "Secret", "FlowRun"),
    "script": ("#!/bin/sh\necho x\n", "echo x", "#!/bin/sh\r\necho x", ""),
    "count": (0, 1, 3, 12, "$(params.in)", "$(tasks.a.outputs.rows)", "x", -1, 2**40),
    "allowFailed": (0, 1, "50%", "100%", "101%", 2**33),
    "requests": ("10m", "1Gi", "0", "-1", "x", 0.5, 2),
    "limits": ("10m", "1Gi", "0", "-1", "x", 0.5, 2),
}
"""Values by the name of the field or of the field around it; other texts come from their pattern, or from TEXTS."""


@cache
def spec_schema(plural: str) -> dict[str, Any]:
    """Return the schema of the spec of one of our kinds."""
    crd = yaml.safe_load((CRDS / f"penstock.dev_{plural}.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def values(schema: dict[str, Any], field: str = "", *, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a schema, most of which the schema allows.

    Args:
        schema: an OpenAPI schema as in a CRD.
        field: name of the field that has the value.
        depth: how many fields are around it.
    """
    if field == "podTemplate":
        return pod_templates
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        return _objects(schema, field, depth)
    if kind == "array":
        items = values(schema.get("items", {}), field, depth=depth + 1)
        smallest = min(schema.get("minItems", 0), MOST_ITEMS)
        key = (schema.get("x-kubernetes-list-map-keys") or [None])[0]
        unique = (lambda item: str(item.get(key))) if key else None
        return st.lists(items, min_size=smallest, max_size=MOST_ITEMS, unique_by=unique)
    return _scalars(schema, field, kind)


def _scalars(schema: dict[str, Any], field: str, kind: str | None) -> st.SearchStrategy[Any]:
    if field in POOLS:
        return st.sampled_from(POOLS[field])
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", SMALLEST), schema.get("maximum", LARGEST)
        return st.integers(low, min(high, low + 3)) | st.sampled_from([low, high])
    if kind == "string":
        return _texts(schema)
    return json_values | st.sampled_from(TEXTS)


@cache
def _name_pool(field: str) -> tuple[str, ...]:
    return OBJECTS if field == "objects" else NAMES


def _objects(schema: dict[str, Any], field: str, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    properties = schema.get("properties")
    if properties is None:
        inner = values(schema.get("additionalProperties", {}), field, depth=depth + 1)
        keys = ["cpu", "memory"] if field in ("requests", "limits") else ["day", "a", "secretKeyRef", "x-y", ""]
        return st.dictionaries(st.sampled_from(keys), inner, max_size=2)
    required = set(schema.get("required", ()))
    optional = sorted(set(properties) - required)
    most = 0 if depth >= DEEPEST else MOST_OPTIONAL

    @st.composite
    def draw_object(draw: st.DrawFn) -> dict[str, Any]:
        chosen = draw(st.lists(st.sampled_from(optional), max_size=most, unique=True)) if optional else []
        around = "objects" if field in ("flow", "schedule", "retryOf") else field
        return {
            name: draw(
                st.sampled_from(_name_pool(around))
                if name == "name"
                else values(properties[name], name, depth=depth + 1)
            )
            for name in sorted({*required, *chosen})
        }

    return draw_object()


def _texts(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    pattern = schema.get("pattern", "")
    if "(ms|s|m|h)" in pattern:
        return st.sampled_from(DURATIONS)
    if pattern.startswith("^[0-9]{4}-") or schema.get("format") == "date-time":
        return st.sampled_from(TIMES)
    if pattern:
        return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= schema.get("maxLength", 63))
    return st.sampled_from(TEXTS) | st.text(max_size=8)


@st.composite
def _pod_templates(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a Pod template, as people write it and as they break it; its Pods mostly end at once on a fake node."""
    template: dict[str, Any] = {}
    if behaviour := draw(st.dictionaries(st.sampled_from(sorted(BEHAVIOUR)), st.integers(0, 20), max_size=2)):
        annotations = {
            f"fake.penstock.dev/{word}": BEHAVIOUR[word][n % len(BEHAVIOUR[word])] for word, n in behaviour.items()
        }
        template["metadata"] = {"annotations": annotations}
    parts = draw(st.lists(st.sampled_from(POD_PARTS), max_size=2))
    for path, value in parts:
        *around, last = path.split(".")
        target = template
        for key in around:
            found = target.setdefault(key, {})
            if not isinstance(found, dict):
                break
            target = found
        else:
            target[last] = copy.deepcopy(value)
    return template


BEHAVIOUR: dict[str, tuple[str, ...]] = {
    "outcome": ("succeed", "fail", "run"),
    "exit-code": ("1,0", "3", "0", "255"),
    "outputs": (
        '{"rows": 3}',
        '{"rows": "x"}',
        "{}",
        "[]",
        "not JSON",
        '{"rows": 1e999}',
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"a":' * 400 + "1" + "}" * 400,
        '{"items": [1, 2, 3]}',
        '{"result": 1, "pickle": "gASVAAAAAAAAAAAu"}',
        '{"rows": 123456789012345678901234567890}',
    ),
    "reason": ("OOMKilled", "Error", ""),
    "pod-reason": ("Evicted", "NodeLost"),
    "disruption": ("TerminationByKubelet", "PreemptionByScheduler", "x"),
    "run-for": ("100ms", "1s"),
    "others": ("run",),
}
"""What Pods of fake nodes do; tests/cluster/README.md has the words."""

POD_PARTS: tuple[tuple[str, Any], ...] = (
    ("metadata", None),
    ("spec", None),
    ("metadata.labels", None),
    ("metadata.labels", {"a": "$(params.day)"}),
    ("metadata.labels", {"penstock.dev/run": "x"}),
    ("metadata.annotations", []),
    ("metadata.finalizers", ["example.com/keep"]),
    ("metadata.ownerReferences", [{}]),
    ("spec.containers", None),
    ("spec.containers", []),
    ("spec.containers", [None]),
    ("spec.containers", ["main"]),
    ("spec.containers", [{"name": "main", "env": [{}]}]),
    ("spec.containers", [{"name": "main", "env": [{"name": "A", "value": 5}]}]),
    ("spec.containers", [{"name": "main", "env": "x"}]),
    ("spec.containers", [{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]),
    ("spec.containers", [{"name": "main"}, {"name": "main"}]),
    ("spec.containers", [{"name": "main"}, {"name": "beside", "image": "busybox"}]),
    ("spec.containers", [{"image": "busybox"}]),
    ("spec.containers", [{"name": "main", "args": None, "command": 5}]),
    ("spec.containers", [{"name": "main", "resources": {"limits": {"memory": "x"}}}]),
    ("spec.initContainers", [{"name": "first", "image": "busybox"}]),
    ("spec.initContainers", [{"name": "s", "image": "busybox", "restartPolicy": "Always"}]),
    ("spec.initContainers", {}),
    ("spec.volumes", "x"),
    ("spec.volumes", ["x"]),
    ("spec.volumes", [{}]),
    ("spec.volumes", "$(params.day)"),
    ("spec.volumes", [{"name": "v", "emptyDir": {}}, {"name": "v"}]),
    ("spec.nodeSelector", {"nowhere": "$(params.day)"}),
    ("spec.nodeSelector", [1]),
    ("spec.restartPolicy", "Always"),
    ("spec.priority", "$(params.in)"),
    ("spec.tolerations", [None]),
    ("spec.securityContext", None),
    ("spec.activeDeadlineSeconds", -1),
    ("spec.terminationGracePeriodSeconds", "x"),
    ("spec.schedulingGates", [{"name": "example.com/gate"}]),
    ("spec.serviceAccountName", "missing"),
    ("spec.hostname", "$(index)"),
    ("spec.unknown", {"a": [{"b": "$(params.day)"}]}),
    ("", {}),
    ("spec.priorityClassName", "missing"),
)
"""Parts of Pod templates by their path: what people leave half written, and what no Pod can be built from."""

pod_templates = _pod_templates()
