"""Slack's signature: only what was signed with our secret, within five minutes, is a request of Slack's."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import SignatureVerifier

from bot.web.slack_events import ServedSignatures, is_signed
from tests.databases import NOW

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BODY = b"command=%2Fclaude-cost&text=help"
TIMESTAMP = str(int(NOW.timestamp()))


def signature(timestamp: str = TIMESTAMP, body: bytes = BODY, secret: str = SECRET) -> str:
    made = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    assert made is not None
    return made


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_a_request_of_the_last_or_next_five_minutes_is_slacks(seconds: int) -> None:
    timestamp = str(int(NOW.timestamp()) + seconds)
    assert is_signed(BODY, [timestamp], [signature(timestamp)], SECRET, NOW)


@pytest.mark.parametrize("seconds", [-301, 301, -86_400, 10**9])
def test_an_older_or_later_one_is_not(seconds: int) -> None:
    timestamp = str(int(NOW.timestamp()) + seconds)
    assert not is_signed(BODY, [timestamp], [signature(timestamp)], SECRET, NOW)


ODD_TIMESTAMPS = [
    *("", " ", "abc", "-1", "+1", "1e9", "0x10", "1_0", "NaN", "inf", "9" * 30, "9" * 10_000, "\udcff", "١٢٣"),
    *(f"{TIMESTAMP}.0", f" {TIMESTAMP}", f"{TIMESTAMP} ", f"-{TIMESTAMP}", f"{TIMESTAMP}, {TIMESTAMP}"),
    "".join(chr(0xFF10 + int(digit)) for digit in TIMESTAMP),
]


@pytest.mark.parametrize("timestamp", ODD_TIMESTAMPS, ids=ascii)
def test_a_time_that_is_no_plain_number_is_refused_and_raises_nothing(timestamp: str) -> None:
    signed = "v0=" + "0" * 64 if "\udcff" in timestamp else signature(timestamp)
    assert not is_signed(BODY, [timestamp], [signed], SECRET, NOW)


@pytest.mark.parametrize(
    "odd",
    [
        *("", "v0=", "v0", "v0=0", "v1=" + "0" * 64, "v0=" + "é" * 64, "v0=" + "\udcff" * 64, signature()[:-1]),
        *(signature() + "0", signature().upper(), signature()[3:], f" {signature()}", "v0=" + "٠" * 64),
    ],
    ids=ascii,
)
def test_a_signature_of_another_shape_is_refused_and_raises_nothing(odd: str) -> None:
    assert not is_signed(BODY, [TIMESTAMP], [odd], SECRET, NOW)


def test_headers_that_are_missing_or_given_twice_are_refused() -> None:
    right = signature()
    assert is_signed(BODY, [TIMESTAMP], [right], SECRET, NOW)
    for timestamps, signatures in (
        ([], [right]),
        ([TIMESTAMP], []),
        ([TIMESTAMP, TIMESTAMP], [right]),
        ([TIMESTAMP], [right, right]),
        ([TIMESTAMP], ["v0=" + "0" * 64, right]),
    ):
        assert not is_signed(BODY, timestamps, signatures, SECRET, NOW)


@given(body=st.text(max_size=200), other=st.text(max_size=200), seconds=st.integers(-400, 400))
def test_it_agrees_with_slacks_own_verifier(body: str, other: str, seconds: int) -> None:
    moment = NOW + timedelta(seconds=seconds)
    try:
        sent, signed = body.encode(), other.encode()
    except UnicodeEncodeError:
        return
    expected = sent == signed and abs(seconds) <= 300
    assert is_signed(sent, [TIMESTAMP], [signature(body=signed)], SECRET, moment) == expected


def test_a_body_that_is_no_text_is_compared_byte_by_byte() -> None:
    assert not is_signed(b"\xff\xfe", [TIMESTAMP], [signature()], SECRET, NOW)


def test_a_signature_is_served_once_and_forgotten_when_it_no_longer_holds() -> None:
    served = ServedSignatures()
    right = signature()
    assert [served.is_first(right, TIMESTAMP, NOW + timedelta(seconds=s)) for s in (0, 1, 300)] == [True, False, False]
    later = NOW + timedelta(seconds=302)
    assert served.is_first("v0=other", str(int(later.timestamp())), later)
    assert len(served) == 1


def test_the_memory_of_signatures_is_bounded() -> None:
    served = ServedSignatures(most=3)
    assert all(served.is_first(f"v0={number}", TIMESTAMP, NOW) for number in range(5))
    assert len(served) == 3
    assert not served.is_first("v0=4", TIMESTAMP, NOW)
    assert not served.is_first("v0=2", TIMESTAMP, NOW)
