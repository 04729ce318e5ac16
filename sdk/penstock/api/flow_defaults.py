"""The FlowDefaults: what the Flows of a namespace have unless they say otherwise."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from penstock.api.base import ApiModel, Count, Duration, PodPart
from penstock.api.condition import Conditions
from penstock.api.flow import InlineFlowSpec, PodRetention, Retention, Retry, Task
from penstock.api.marker import ATOMIC_MAP, map_list

DEFAULTS_NAME: Final = "default"
"""The name of the FlowDefaults that counts in a namespace."""
MAX_DEFAULT_FINALLY: Final = 20
MAX_LAST_VALID: Final = 262_144


class FlowDefaultsSpec(ApiModel):
    """What the Flows of the namespace, and inline specs of runs, have unless they say otherwise."""

    queue_timeout: Duration | None = None
    """Longest time that an attempt may wait on a node (image, mount, sandbox, missing Secret or ConfigMap), or for a
    node or a claim's volume, in place of 1h and 24h. Quotas, queues and the cache never count. `0s` for no limit."""
    timeout: Duration | None = None
    """Longest time of one attempt of a container task, from the start of its container."""
    run_timeout: Duration | None = None
    """Longest time of a run, from the creation of its first task: `timeout` of Flows that give none."""
    retry: Retry | None = None
    """How failed attempts of container tasks are retried; fields that a Flow or a task sets override these."""
    pod_template: PodPart | None = None
    """Strategic-merge patch of each generated Pod (metadata and spec), applied before those of the Flow and the
    task."""
    pod_retention: PodRetention | None = None
    """How long the Pods of finished attempts are kept; fields that a Flow sets override these."""
    retention: Retention | None = None
    """How long finished runs are kept; fields that a Flow sets override these. Changes also apply to runs that exist
    already."""
    finally_: Annotated[
        list[Annotated[Task, ATOMIC_MAP]] | None,
        Field(alias="finally", max_length=MAX_DEFAULT_FINALLY),
        map_list("name"),
    ] = None
    """Container tasks that run at the end of each run, beside the Flow's own `finally` tasks. A Flow that has a task of
    the same name replaces it. They take nothing from the `defaults` of the Flow, and can refer to `run` and to each
    other."""


class FlowDefaultsStatus(ApiModel):
    """Observed state of FlowDefaults."""

    observed_generation: Count | None = None
    """Generation of the spec that this status describes."""
    conditions: Conditions | None = None
    """Ready: whether the namespace's Flows have these defaults."""
    last_valid: Annotated[str, Field(max_length=MAX_LAST_VALID)] | None = None
    """Internal: the last valid spec, which is in force while the spec is invalid."""


class InheritedDefaults(ApiModel):
    """What a spec inherits: the first that has a field decides."""

    namespace: FlowDefaultsSpec | None = None
    """FlowDefaults `default` of the namespace."""
    installation: FlowDefaultsSpec | None = None
    """`flowDefaults` of the chart's values."""


class RevisedFlowSpec(InlineFlowSpec):
    """A spec as a revision holds it: with the defaults that were in force when it was revised."""

    inherited: InheritedDefaults | None = None
    """The defaults."""
