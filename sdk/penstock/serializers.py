"""Serializers of results: `result_serializer=JSONSerializer()`, or by name: `"json"`, `"compressed/pickle"`."""

from __future__ import annotations

from penstock.authoring.options.serializers import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
)
from penstock.authoring.prefect.not_offered import refuse_others

__all__ = [
    "CompressedJSONSerializer",
    "CompressedPickleSerializer",
    "CompressedSerializer",
    "JSONSerializer",
    "PickleSerializer",
    "Serializer",
]

refuse_others(__name__)
