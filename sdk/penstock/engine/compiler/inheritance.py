"""What a Flow inherits: the FlowDefaults of its namespace and, below them, the installation's defaults. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

from penstock.api.flow import InlineFlowSpec, PodRetention, Retention, Task
from penstock.api.flow_defaults import FlowDefaultsSpec, InheritedDefaults, RevisedFlowSpec

Kept = TypeVar("Kept", PodRetention, Retention)

NAMESPACE_PATH: Final = "FlowDefaults default: spec"
"""How problems name where a field is that comes from the namespace's FlowDefaults."""
INSTALLATION_PATH: Final = "the installation's defaults: flowDefaults"
"""Likewise, from the chart's values."""


class DefaultsSource(NamedTuple):
    """Defaults that a spec inherits."""

    spec: FlowDefaultsSpec
    path: str
    """Where it is, for problems."""


class InheritedTask(NamedTuple):
    """A finally task that a Flow does not have itself."""

    task: Task
    path: str


def inherit(spec: InlineFlowSpec, defaults: InheritedDefaults) -> InlineFlowSpec:
    """Return a spec with the defaults that are in force; itself if there are none.

    Args:
        spec: of a Flow, or inline in a run. What it inherited before is replaced.
        defaults: those of its namespace and of the installation. `retention` is left out, because it is read from
            the FlowDefaults as they are now.
    """
    given = {
        layer: FlowDefaultsSpec.model_validate(plain)
        for layer in ("namespace", "installation")
        if (source := getattr(defaults, layer)) is not None
        and (plain := source.model_dump(by_alias=True, exclude_unset=True, exclude={"retention"}))
    }
    if not given and not isinstance(spec, RevisedFlowSpec):
        return spec
    fields = {name: getattr(spec, name) for name in InlineFlowSpec.model_fields if name in spec.model_fields_set}
    if not given:
        return InlineFlowSpec.model_construct(set(fields), **fields)
    inherited = InheritedDefaults(**given)
    return RevisedFlowSpec.model_construct({*fields, "inherited"}, **fields, inherited=inherited)


def sources_of(spec: InlineFlowSpec) -> tuple[DefaultsSource, ...]:
    """Return what a spec inherits; the first that has a field decides."""
    inherited = spec.inherited if isinstance(spec, RevisedFlowSpec) else None
    if inherited is None:
        return ()
    sources = ((inherited.namespace, NAMESPACE_PATH), (inherited.installation, INSTALLATION_PATH))
    return tuple(DefaultsSource(source, path) for source, path in sources if source is not None)


def inherited_finally(spec: InlineFlowSpec) -> list[InheritedTask]:
    """Return the finally tasks that a spec inherits: those whose names it does not have itself."""
    taken = {task.name for task in (*spec.tasks, *(spec.finally_ or ()))}
    found: list[InheritedTask] = []
    for source in sources_of(spec):
        found += (
            InheritedTask(task, f"{source.path}.finally[{position}]")
            for position, task in enumerate(source.spec.finally_ or ())
            if task.name not in taken
        )
        taken.update(task.name for task in source.spec.finally_ or ())
    return found


def all_tasks(spec: InlineFlowSpec) -> list[Task]:
    """Return every task of a spec's runs, in the order of their status: the inherited ones last."""
    return [*spec.tasks, *(spec.finally_ or ()), *(one.task for one in inherited_finally(spec))]


def merge_pod_retention(spec: InlineFlowSpec) -> PodRetention | None:
    """Return how long Pods are kept, field by field."""
    given = [spec.pod_retention, *(source.spec.pod_retention for source in sources_of(spec))]
    return _merge(PodRetention, given)


def merge_retention(own: Retention | None, defaults: InheritedDefaults) -> Retention | None:
    """Return how long runs are kept, field by field."""
    layers = (defaults.namespace, defaults.installation)
    return _merge(Retention, [own, *(layer.retention for layer in layers if layer is not None)])


def _merge(model: type[Kept], given: list[Kept | None]) -> Kept | None:
    present = [one for one in given if one is not None]
    if len(present) < 2:  # noqa: PLR2004 - nothing to merge
        return present[0] if present else None
    completed = next((one.completed for one in present if one.completed is not None), None)
    failed = next((one.failed for one in present if one.failed is not None), None)
    return model(completed=completed, failed=failed)
