"""Admission of Backfills, which are checked against their Schedule."""

from __future__ import annotations

import asyncio

import pytest

from penstock_operator.webhooks.admission import Admission
from tests.unit.reviews import OCTOBER, anyone_may, look_up, look_up_run, look_up_schedule, review_of


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            {"to": "2026-09-01T00:00:00Z"}, "spec.to: must be later than from (2", id="it ends before it begins"
        ),
        pytest.param(
            {"from": "2026-10-01"}, "spec.from: must have an offset; got '2026-10-01'", id="a date has no offset"
        ),
        pytest.param({"from": "1970-01-01T00:00:00Z"}, "was due more than 10,000 times", id="too many ticks"),
        pytest.param(
            {"from": "0001-01-01T00:00:00Z"},
            "spec.from: must be between the years 1970 and 9998",
            id="a year before all times",
        ),
    ],
)
def test_an_invalid_backfill_is_refused(change, said):
    response = asyncio.run(
        Admission(look_up, look_up_schedule, look_up_run, may_get=anyone_may).validate_backfill(
            review_of("Backfill", {**OCTOBER, **change})
        )
    )["response"]
    assert not response["allowed"]
    assert said in response["status"]["message"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"schedule": {"name": "weekly"}}, "does not exist yet", id="no such Schedule"),
        pytest.param(
            {"schedule": {"name": "broken"}},
            "is invalid: the Backfill waits until it is corrected",
            id="a Schedule that is wrong",
        ),
        pytest.param({"to": "2999-01-01T00:00:00Z"}, "is in the future", id="a time to come"),
    ],
)
def test_a_backfill_that_may_surprise_passes_with_a_warning(change, said):
    response = asyncio.run(
        Admission(look_up, look_up_schedule, look_up_run, may_get=anyone_may).validate_backfill(
            review_of("Backfill", {**OCTOBER, **change})
        )
    )["response"]
    assert response["allowed"]
    assert said in response["warnings"][0]
