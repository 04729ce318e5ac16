"""Conditions, as `metav1.Condition` has them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from penstock.api.base import ApiModel, Count, Time
from penstock.api.marker import map_list

CONDITION_TYPE_PATTERN = r"^[A-Z][A-Za-z]*$"


class Condition(ApiModel):
    """One observation about an object, for programs."""

    type: Annotated[str, Field(max_length=64, pattern=CONDITION_TYPE_PATTERN)]
    """Type of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: Annotated[str, Field(min_length=1, max_length=128, pattern=CONDITION_TYPE_PATTERN)]
    """Reason for the status, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Explanation of the status for people."""
    last_transition_time: Time
    """When status last changed."""
    observed_generation: Count | None = None
    """Generation of the spec that was observed."""


Conditions = Annotated[list[Condition], Field(max_length=16), map_list("type")]
