"""The defaults that are in force in a namespace: those of its FlowDefaults, above the installation's."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from pydantic import ValidationError

from penstock.api.base import AS_STORED
from penstock.api.flow import Retention
from penstock.api.flow_defaults import DEFAULTS_NAME, FlowDefaultsSpec, InheritedDefaults
from penstock.engine.compiler.inheritance import merge_retention
from penstock.engine.validation.flow_defaults import check_flow_defaults, parse_flow_defaults
from penstock.errors import InvalidSpecError, Problem
from penstock.kube.client import ApiClient
from penstock.kube.kinds.flow_defaults import FlowDefaults
from penstock.kube.resources import FLOW_DEFAULTS
from penstock_operator.runtime.bounded import BoundedMap
from penstock_operator.runtime.shared_reads import SharedReads

KEPT: Final = 512
"""Namespaces whose FlowDefaults are not checked again while they do not change."""


class DefaultsInForce(NamedTuple):
    """What Flows of a namespace inherit."""

    inherited: InheritedDefaults
    note: str
    """Why it is not what the FlowDefaults say now; empty if it is."""
    fingerprint: str
    """Another one when something else is in force."""

    def retention_of(self, flow_spec: Mapping[str, Any]) -> Retention | None:
        """Return how long the runs of a Flow are kept, also if its spec is invalid otherwise; None: all are kept."""
        try:
            return self._merge_retention(flow_spec)
        except ValidationError:
            # The schema did not catch it.
            return None

    def is_silent_about_retention(self, flow_spec: Mapping[str, Any]) -> bool:
        """Whether nothing says how long the runs of a Flow are kept; what is invalid says something."""
        try:
            retention = self._merge_retention(flow_spec)
        except ValidationError:
            return False
        is_empty = retention is None or (retention.completed is None and retention.failed is None)
        return is_empty and not self.note

    def _merge_retention(self, flow_spec: Mapping[str, Any]) -> Retention | None:
        own = Retention.model_validate(flow_spec.get("retention") or {}, context=AS_STORED)
        return merge_retention(own, self.inherited)


class ReadDefaults(NamedTuple):
    """What FlowDefaults say."""

    spec: FlowDefaultsSpec | None
    """What is in force; None for nothing."""
    problems: tuple[Problem, ...]
    """What is wrong with the spec as it is now."""


def read_defaults(found: FlowDefaults) -> ReadDefaults:
    """Read FlowDefaults; while their spec is invalid, the last valid one is in force."""
    try:
        spec = parse_flow_defaults({"spec": found.spec})
        problems = tuple(check_flow_defaults(spec))
    except InvalidSpecError as error:
        problems = tuple(error.problems)
    else:
        if not problems:
            return ReadDefaults(spec, ())
    return ReadDefaults(_read_last_valid(found.status.last_valid), problems)


def _read_last_valid(text: str | None) -> FlowDefaultsSpec | None:
    try:
        spec = None if text is None else parse_flow_defaults({"spec": msgspec.json.decode(text)})
    except (InvalidSpecError, msgspec.MsgspecError):
        return None
    # What was valid for an earlier version of the operator need not be so now.
    return None if spec is None or check_flow_defaults(spec) else spec


class _DefaultsIdentity(NamedTuple):
    """What decides what FlowDefaults say: not their version, which labels and conditions change too."""

    namespace: str
    uid: str
    generation: int
    last_valid: str
    """Digest of the last valid spec."""


class NamespaceDefaults:
    """Reads the defaults that are in force.

    Args:
        client: for reads.
        installation: those of the installation.
    """

    def __init__(self, client: ApiClient, installation: FlowDefaultsSpec | None = None) -> None:
        self._client = client
        self._installation = installation
        self._nothing = _describe(InheritedDefaults(installation=installation), "")
        self._reads = SharedReads(self._read)
        self._known: BoundedMap[_DefaultsIdentity, DefaultsInForce] = BoundedMap(KEPT)

    async def current(self, namespace: str) -> DefaultsInForce:
        """Return what is in force in a namespace now, or later.

        Raises:
            ApiError: it could not be read.
        """
        return await self._reads.get(namespace)

    async def _read(self, namespace: str) -> DefaultsInForce:
        found = await self._client.get(FLOW_DEFAULTS, namespace, DEFAULTS_NAME, kind=FlowDefaults)
        if found is None:
            return self.in_force(None)
        last_valid = hashlib.sha256((found.status.last_valid or "").encode()).hexdigest()
        key = _DefaultsIdentity(namespace, found.metadata.uid, found.metadata.generation, last_valid)
        known = self._known.get(key)
        if known is None:
            # A large one takes a second.
            known = self._known[key] = await asyncio.to_thread(self._read_in_force, found)
        return known

    def _read_in_force(self, found: FlowDefaults) -> DefaultsInForce:
        return self.in_force(read_defaults(found))

    def in_force(self, read: ReadDefaults | None) -> DefaultsInForce:
        """Return what is in force where FlowDefaults say this; None: there are none."""
        if read is None:
            return self._nothing
        note = _note(read) if read.problems else ""
        return _describe(InheritedDefaults(namespace=read.spec, installation=self._installation), note)


def _describe(inherited: InheritedDefaults, note: str) -> DefaultsInForce:
    text = inherited.model_dump_json(exclude_unset=True) + note
    return DefaultsInForce(inherited, note, hashlib.sha256(text.encode()).hexdigest())


def _note(read: ReadDefaults) -> str:
    consequence = "it is not in force" if read.spec is None else "its last valid spec is in force"
    return f"FlowDefaults {DEFAULTS_NAME} is invalid, so {consequence}: {read.problems[0]}"
