"""Serializers of results: `result_serializer=JSONSerializer()`, or by name: `"json"`, `"compressed/pickle"`."""

from __future__ import annotations

from penstock.authoring.not_offered import refuse_others
from penstock.authoring.serializers import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
)

__all__ = [
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
    "JSONSerializer",
    "PickleSerializer",
    "Serializer",
]

refuse_others(__name__)
