"""Conditions, as `metav1.Condition` has them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from penstock.api.base import ApiModel, Count, Time
from penstock.api.marker import map_list

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
    last_transition_time: Time
    """When status last changed."""
    observed_generation: Count | None = None
    """Generation of the spec that was observed."""


Conditions = Annotated[list[Condition], Field(max_length=16), map_list("type")]
