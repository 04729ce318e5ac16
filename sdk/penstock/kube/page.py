"""Pages of a list, and how an object of a kind is decoded."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, cast

import msgspec

from penstock.engine.keys import ObjectKey
from penstock.kube.metadata import PartialObject
from penstock.kube.nesting import decode_json

logger = logging.getLogger(__name__)

T = TypeVar("T")

PAGE_ITEMS: Final = 100
"""Objects in one page of a list, unless a caller asks for another number. Each may have 1.5 MiB, and a page is
read as a whole, also where little of it is decoded."""
METADATA_PAGE_ITEMS: Final = 500
"""Of a list of metadata alone."""
LARGE_PAGE_ITEMS: Final = 10
"""Where objects that may be large are decoded as a whole, which takes up to eight times their bytes."""


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


class ReadPage(NamedTuple, Generic[T]):
    """A page of which every object that can be decoded was decoded."""

    page: Page[T]
    skipped: tuple[ObjectKey, ...] = ()
    """Objects that are there and could not be decoded; each was logged."""


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


def read_page(kind: type[T], body: bytes, *, plural: str) -> ReadPage[T]:
    """Decode a page; an object that cannot be decoded does not hide the others.

    Args:
        kind: what each object is decoded to.
        body: the page as JSON.
        plural: of the kind, for the log.

    Raises:
        msgspec.DecodeError: it is not a page.
    """
    try:
        return ReadPage(decode_json(page_decoder(kind), body))
    except msgspec.ValidationError:
        raw = decode_json(page_decoder(msgspec.Raw), body)
    items: list[T] = []
    skipped: list[ObjectKey] = []
    for one in raw.items or ():
        item = read_object(kind, one, plural=plural)
        if isinstance(item, ObjectKey):
            skipped.append(item)
        else:
            items.append(item)
    return ReadPage(Page(raw.metadata, items), tuple(skipped))


def read_object(kind: type[T], raw: msgspec.Raw, *, plural: str) -> T | ObjectKey:
    """Decode an object, or log that it cannot be decoded and return its key.

    Raises:
        msgspec.DecodeError: it is not an object of the API server.
    """
    try:
        return decode_json(object_decoder(kind), bytes(raw))
    except msgspec.ValidationError as error:
        key = decode_json(object_decoder(PartialObject), bytes(raw)).metadata.key
        logger.error("Cannot decode %s %s: %s", plural, key, error)  # noqa: TRY400 - the error's text says where in the object
        return key
