"""The part that every Kubernetes object has, decoded as far as the operator needs it.

Structs of msgspec: only the named fields are decoded, everything else is skipped, so an event costs
microseconds.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from penstock.api import names
from penstock.engine.keys import ObjectKey


class OwnerReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """An owner of an object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False

    def is_a(self, kind: str, group: str = names.GROUP) -> bool:
        """Whether the owner is of this kind, in any version of the group."""
        return self.kind == kind and self.api_version.startswith(f"{group}/")


class ObjectMeta(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """`metav1.ObjectMeta`, without the fields that the operator never reads. Times: RFC 3339, UTC, to the second."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int = 0
    creation_timestamp: str | None = None
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.namespace, self.name)

    def find_controller(self, kind: str, group: str = names.GROUP) -> OwnerReference | None:
        """Return the owner that manages the object, if it is of this kind: other groups may have one of its name."""
        for owner in self.owner_references:
            if owner.controller:
                return owner if owner.is_a(kind, group) else None
        return None

    @property
    def version(self) -> int:
        """The resourceVersion as a number, which grows with every write (KEP-5504); 0 where a server has others."""
        return int(self.resource_version) if self.resource_version.isdecimal() else 0


class HasMetadata(Protocol):
    """Any decoded object."""

    @property
    def metadata(self) -> ObjectMeta:
        """The part that every object has."""
        ...


class PartialObject(msgspec.Struct, frozen=True, gc=False):
    """An object of which nothing but the metadata is wanted."""

    metadata: ObjectMeta = ObjectMeta()
