"""Conditions, as `metav1.Condition` has them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from penstock.api.base import ApiModel

CONDITION_TYPE_PATTERN = r"^[A-Z][A-Za-z]*$"


class Condition(ApiModel):
    """One observation about an object that programs may rely on."""

    type: Annotated[str, Field(max_length=64, pattern=CONDITION_TYPE_PATTERN)]
    """What is observed."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(min_length=1, max_length=128, pattern=CONDITION_TYPE_PATTERN)]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, for people."""
    last_transition_time: Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]
    """When status last changed."""
    observed_generation: int | None = None
    """Generation of the spec that was observed."""
