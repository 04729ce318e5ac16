"""What the API server refuses, as a person reads it."""

from __future__ import annotations

import json

import pytest

from penstock.cli.cluster.api_errors import refusal_message


@pytest.mark.parametrize(
    ("message", "want"),
    [
        pytest.param(
            'admission webhook "flowruns.penstock.dev" denied the request: spec.params.upto: is 5',
            "spec.params.upto: is 5",
            id="of our webhook, the field",
        ),
        pytest.param(
            'admission webhook "policy.example.com" denied the request: no',
            'admission webhook "policy.example.com" denied the request: no',
            id="of another webhook, who it was",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong(message, want):
    assert refusal_message(422, json.dumps({"message": message}), "Unprocessable") == want
