"""Whole manifests of every kind, drawn by a seed: from the CRDs' schemas, from valid flows, and from the examples."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import hypothesis
import yaml
from hypothesis import strategies as st

from penstock.api import names
from tests import strategies
from tests.fuzz import labelled
from tests.fuzz.mutations import mutated
from tests.fuzz.schemas import OBJECTS, pod_templates, spec_schema, values

EXAMPLES = Path(__file__).parents[2] / "examples"

PLURALS = {
    "Flow": "flows",
    "FlowRun": "flowruns",
    "Schedule": "schedules",
    "Backfill": "backfills",
    "FlowDefaults": "flowdefaults",
    "Pod": "pods",
    "Job": "jobs",
    "ConfigMap": "configmaps",
}
DEFAULTS = "default"
"""Name of the FlowDefaults that count; each takes the place of the one before."""
OURS = ("Flow", "FlowRun", "Schedule", "Backfill", "FlowDefaults")
SHARES = {
    "Flow": 20,
    "FlowRun": 29,
    "Schedule": 14,
    "Backfill": 8,
    "FlowDefaults": 3,
    "Pod": 12,
    "Job": 5,
    "ConfigMap": 9,
}
"""Per cent, of each hundred that is drawn."""


class Manifest(NamedTuple):
    """A manifest, as far as it is known before it is sent."""

    number: int
    kind: str
    text: str
    """JSON, in which uids and what is nested deeply still have to be written out."""

    @property
    def name(self) -> str:
        name: str = json.loads(self.text)["metadata"]["name"]
        return name

    @property
    def path(self) -> str:
        """Of its collection in the API server; `NAMESPACE` stands for the namespace."""
        group, version = {
            "Pod": ("api", "v1"),
            "ConfigMap": ("api", "v1"),
            "Job": ("apis/batch", "v1"),
        }.get(self.kind, (f"apis/{names.GROUP}", names.VERSION))
        return f"/{group}/{version}/namespaces/NAMESPACE/{PLURALS[self.kind]}"


def draw(seed: int, count: int) -> Iterator[Manifest]:
    """Draw manifests: the first are the same for a seed, whatever the count."""
    drawn = (one for chunk in itertools.count() for one in _draw_chunk(f"{seed}/{chunk}"))
    for number, (kind, body) in enumerate(itertools.islice(drawn, count)):
        body["metadata"]["name"] = DEFAULTS if kind == "FlowDefaults" and number % 2 else f"fuzz-{number}"
        yield Manifest(number, kind, json.dumps(body))


def read(path: Path, number: int = 0) -> Manifest:
    """Read a manifest from a file that a campaign wrote."""
    text = path.read_text()
    return Manifest(number, json.loads(text)["kind"], text)


def _draw_chunk(seed: str) -> list[tuple[str, dict[str, Any]]]:
    # Kind by kind, because Hypothesis likes to stay near what it has drawn.
    drawn = [(kind, body) for kind, share in SHARES.items() for body in _draw_some(f"{seed}/{kind}", kind, share)]
    Random(seed).shuffle(drawn)
    return drawn


def _draw_some(seed: str, kind: str, count: int) -> list[dict[str, Any]]:
    drawn: list[dict[str, Any]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(_manifests(kind))
    def collect(body: dict[str, Any]) -> None:
        if len(drawn) < count:
            drawn.append(body)

    collect()
    return drawn


@st.composite
def _manifests(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    match kind:
        case "Pod":
            return draw(labelled.pods())
        case "Job":
            return draw(labelled.jobs())
        case "ConfigMap":
            return draw(labelled.config_maps())
    spec = draw(_specs(kind))
    metadata: dict[str, Any] = {}
    if draw(st.integers(0, 4)) == 0:
        metadata = draw(labelled.metadata())
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


@st.composite
def _specs(draw: st.DrawFn, kind: str) -> Any:
    examples = _examples(kind)
    source = draw(st.sampled_from(("schema", "valid", "example")))
    if source == "example" and examples:
        base = examples[draw(st.integers(0, len(examples) - 1))]
    elif source == "valid":
        base = draw(_valid(kind))
    else:
        base = draw(values(spec_schema(PLURALS[kind])))
        if kind in ("FlowRun", "Schedule"):
            # The schema of a run leaves open which one of three fields is given, and mostly none would be.
            run = base if kind == "FlowRun" else base.setdefault("runTemplate", {}).setdefault("spec", {})
            run.update(draw(_what_to_run()))
    spec = draw(mutated(base, others=tuple(examples)))
    # Anything but an object is refused before anybody sees it.
    return spec if isinstance(spec, dict) else base


@st.composite
def _valid(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """Draw a spec that is valid, or nearly: its flow compiles."""
    match kind:
        case "Flow":
            return draw(_flows())
        case "FlowRun":
            return draw(_what_to_run())
        case "Schedule":
            run = draw(_what_to_run())
            return {"cron": ["* * * * *"], "suspend": draw(st.booleans()), "runTemplate": {"spec": run}}
        case "FlowDefaults":
            last = draw(st.lists(st.sampled_from(("notify", "a")), unique=True, max_size=2))
            return {"queueTimeout": "1m", "finally": [{"name": name, "image": "busybox"} for name in last]}
    days = draw(st.integers(2, 5))
    return {"schedule": {"name": "anchor"}, "from": "2026-10-01T00:00:00Z", "to": f"2026-10-0{days}T00:00:00Z"}


@st.composite
def _flows(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the spec of a flow that compiles; one of its tasks may have any Pod template."""
    spec = draw(strategies.flow_specs(max_tasks=4, max_items=3))
    flow: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    task = flow["tasks"][draw(st.integers(0, len(flow["tasks"]) - 1))]
    if "flow" not in task and "approval" not in task and draw(st.booleans()):
        task["podTemplate"] = draw(pod_templates)
    return flow


def _what_to_run() -> st.SearchStrategy[dict[str, Any]]:
    flow = _flows()
    return st.one_of(
        flow.map(lambda spec: {"flowSpec": spec}),
        flow.map(lambda spec: {"flowSpec": spec}),
        st.sampled_from(OBJECTS).map(lambda name: {"flow": {"name": name}}),
        st.sampled_from(OBJECTS).map(lambda name: {"retryOf": {"name": name}}),
    )


@cache
def _examples(kind: str) -> list[dict[str, Any]]:
    """Return the specs of that kind in examples/; of FlowRuns also those of the Flows."""
    found = [
        manifest
        for path in sorted(EXAMPLES.rglob("*.yaml"))
        for manifest in yaml.safe_load_all(path.read_text())
        if manifest is not None
    ]
    specs = [manifest["spec"] for manifest in found if manifest["kind"] == kind]
    if kind == "FlowRun":
        specs += [
            {
                "flowSpec": {
                    key: value for key, value in manifest["spec"].items() if key not in ("concurrency", "retention")
                }
            }
            for manifest in found
            if manifest["kind"] == "Flow"
        ]
    return specs
