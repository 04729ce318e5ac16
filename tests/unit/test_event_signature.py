"""Signatures of webhooks: what is genuine, and what is not."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.engine.triggers.webhook_signature import SecretError, is_signed, read_headers, read_secrets, sign

# The example of the standard's own libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def headers(**changed: str | None) -> dict[str, str]:
    given: dict[str, Any] = {"id": ID, "timestamp": str(TIMESTAMP), "signature": SIGNATURE} | changed
    return {f"webhook-{name}": value for name, value in given.items() if value is not None}


def is_genuine(body: bytes = BODY, now: float = TIMESTAMP, secret: str = SECRET, **changed: str | None) -> bool:
    read = read_headers(headers(**changed), now)
    return read is not None and is_signed(read, body, read_secrets(secret))


def test_the_example_of_the_standard_is_genuine():
    assert is_genuine()


@pytest.mark.parametrize("late_s", [-300, 300])
def test_a_clock_may_differ_by_five_minutes(late_s):
    assert is_genuine(now=TIMESTAMP + late_s)
    assert not is_genuine(now=TIMESTAMP + late_s + (1 if late_s > 0 else -1))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"id": "msg_other"}, id="another id"),
        pytest.param({"timestamp": str(TIMESTAMP + 1)}, id="another time"),
        pytest.param({"signature": "v1," + "A" * 43 + "="}, id="another signature"),
        pytest.param({"signature": SIGNATURE.replace("v1,", "v1a,")}, id="another version"),
        pytest.param({"signature": SIGNATURE.removeprefix("v1,")}, id="no version"),
        pytest.param({"signature": "v1,*"}, id="no base64"),
        pytest.param({"signature": ""}, id="no signature"),
        pytest.param({"signature": None}, id="no header of it"),
        pytest.param({"id": None}, id="no id"),
        pytest.param({"id": "a b"}, id="an id with a space"),
        pytest.param({"id": "a" * 257}, id="an id without an end"),
        pytest.param({"id": f"{ID}.{TIMESTAMP - 1}"}, id="an id with a dot"),
        pytest.param({"timestamp": None}, id="no time"),
        pytest.param({"timestamp": "1614265330.5"}, id="a time with a fraction"),
        pytest.param({"timestamp": "٣" * 10}, id="digits of another script"),
        pytest.param({"body": BODY + b" "}, id="another body"),
        pytest.param({"secret": "whsec_" + "A" * 32}, id="another secret"),
    ],
)
def test_a_delivery_that_was_changed_is_not_genuine(changed):
    assert not is_genuine(**changed)


def test_a_signed_delivery_with_a_dot_in_its_id_is_refused_because_its_parts_are_ambiguous():
    signature = "v1," + base64.b64encode(sign("a.1", 2, BODY, read_secrets(SECRET)[0])).decode()
    assert signature == "v1," + base64.b64encode(sign("a", 1, b"2." + BODY, read_secrets(SECRET)[0])).decode()
    assert read_headers(headers(id="a.1", timestamp="2", signature=signature), 2) is None
    assert read_headers(headers(id="a-1", timestamp="2", signature=signature), 2) is not None


def test_one_good_signature_among_others_is_enough_and_so_is_one_secret():
    assert is_genuine(signature=f"v1,{'A' * 43}= v1a,x {SIGNATURE}")
    assert is_genuine(secret=f"whsec_{'A' * 32}\n{SECRET}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1 to 4 signing secrets"),
        (" ".join([SECRET] * 5), "1 to 4 signing secrets"),
        ("hunter2hunter2hunter2hunter2", "must be whsec_ followed by base64"),
        ("whsec_?", "must be whsec_ followed by base64"),
        ("whsec_" + base64.b64encode(b"short").decode(), "24 to 64 bytes; got 5"),
    ],
)
def test_an_invalid_secret_is_reported_without_being_shown(text, said):
    with pytest.raises(SecretError, match=said) as caught:
        read_secrets(text)
    assert "hunter2" not in str(caught.value)


@given(st.binary(max_size=200), st.binary(min_size=24, max_size=64), st.integers(0, 10**11))
def test_what_is_signed_is_genuine_and_one_byte_more_is_not(body, secret, timestamp):
    signature = base64.b64encode(sign(ID, timestamp, body, secret)).decode()
    read = read_headers(headers(timestamp=str(timestamp), signature=f"v1,{signature}"), timestamp)
    assert read is not None
    assert is_signed(read, body, [secret])
    assert not is_signed(read, body + b"x", [secret])
