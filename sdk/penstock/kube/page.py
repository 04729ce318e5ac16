"""Pages of a list, and how an object of a kind is decoded."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import msgspec

T = TypeVar("T")

PAGE_ITEMS: Final = 500
"""Objects in one page of a list, unless a caller asks for another number."""


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """`metav1.ListMeta`."""

    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")
    """Names the next page; empty on the last one."""


class Page(msgspec.Struct, Generic[T]):
    """One page of a list."""

    metadata: ListMeta = ListMeta()
    items: list[T] | None = None
    """The API server writes null for an empty list."""


class HasListMeta(Protocol):
    """Any decoded page: a `Page`, or a Table."""

    @property
    def metadata(self) -> ListMeta:
        """The part that every list has."""
        ...


@lru_cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("Any", kind))


def object_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Return the decoder of an object of this type; made once per type."""
    return cast("msgspec.json.Decoder[T]", _decoder(cast("Hashable", kind)))


def page_decoder(kind: type[T]) -> msgspec.json.Decoder[Page[T]]:
    """Return the decoder of a page of such objects; made once per type."""
    return cast("msgspec.json.Decoder[Page[T]]", _decoder(Page[kind]))  # type: ignore[valid-type] # a type made at run time
