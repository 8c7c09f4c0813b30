"""The venue's clock from dates and stamps."""

from __future__ import annotations

import json
import random

import pytest

from reconciler.bitmex.answers import Reply
from reconciler.bitmex.clock import UNKNOWN_US, WINDOW_US, VenueClock
from reconciler.bitmex.vitals import Vitals

S = 1_000_000
START = 1_800_000_000 * S


def ask(clock: VenueClock, offset_us: int, sent_us: int, there_us: int, back_us: int) -> int:
    """An exchange: dated by the venue, to the second, on its way. Returns when it is over."""
    dated = (sent_us + there_us + offset_us) // S * S
    clock.dated(dated, sent_us, sent_us + there_us + back_us)
    return sent_us + there_us + back_us


@pytest.mark.parametrize("offset_us", [0, 350_000, -2_700_000, 3_600 * S])
def test_the_truth_is_inside(offset_us: int) -> None:
    """However the answers travel, the real offset lies in the interval, and it narrows."""
    draws = random.Random(7)
    clock, now, widths = VenueClock(), START, []
    for _ in range(40):
        now += draws.randrange(1_000, 2 * S)
        now = ask(clock, offset_us, now, draws.randrange(90_000), draws.randrange(90_000))
        clock.stamped(now + offset_us - draws.randrange(5_000, 50_000), now)
        interval = clock.interval(now)
        assert interval is not None
        assert interval[0] <= offset_us <= interval[1]
        widths.append(interval[1] - interval[0])
    assert widths[-1] < 300_000


def test_one_sided_knowledge_is_none() -> None:
    """Stamps alone give no upper bound, so nothing is claimed."""
    clock = VenueClock()
    clock.stamped(START, START)
    assert clock.interval(START) is None
    assert clock.news(START) is None
    assert clock.offset_us(START) == 0


def test_news_is_told_seldom() -> None:
    """A measurement is told when it moved by more than 50 ms, or once in 30 s."""
    clock = VenueClock()
    now = ask(clock, 0, START + 500_000, 100, 100)
    assert clock.news(now) is not None
    assert clock.news(now + S) is None
    assert clock.news(now + 31 * S) is not None
    now = ask(clock, 0, START + 31 * S + 10_000, 100, 100)
    measured = clock.news(now)
    assert measured is not None
    assert abs(measured.offset_us) <= measured.error_us


def test_a_clock_that_was_set_is_followed() -> None:
    """When the words contradict each other a clock was set, and only the newest one counts."""
    clock = VenueClock()
    now = ask(clock, 0, START, 100, 100)
    now = ask(clock, 3_600 * S, now + S, 100, 100)
    measured = clock.news(now)
    assert measured is not None
    assert abs(measured.offset_us - 3_600 * S) <= measured.error_us <= S


def test_knowledge_ages_out() -> None:
    """Without news the interval widens, then is unknown, and that is told once."""
    clock = VenueClock()
    now = ask(clock, 0, START, 100, 100)
    before = clock.interval(now)
    after = clock.interval(now + 60 * S)
    assert before is not None
    assert after is not None
    assert after[1] - after[0] > before[1] - before[0]
    assert clock.news(now) is not None
    late = now + WINDOW_US + S
    measured = clock.news(late)
    assert measured is not None
    assert measured.error_us == UNKNOWN_US
    assert clock.news(late + 60 * S) is None


def test_an_answer_from_before_its_request_is_ignored() -> None:
    """A clock of ours that ran backwards proves nothing of theirs."""
    clock = VenueClock()
    clock.dated(START, START + 10, START)
    assert clock.interval(START) is None


def test_words_that_contradict_each_other_leave_a_bound_and_the_last_guess() -> None:
    """A stamp is no whole measurement; what was known before is nearer than our wall clock."""
    clock = VenueClock()
    now = ask(clock, -3_600 * S, START, 100, 100)
    told = clock.news(now)
    assert told is not None
    clock.stamped(now - 3_600 * S + 2 * S, now)
    assert clock.interval(now) is None
    assert clock.least_us(now) == -3_598 * S
    assert clock.offset_us(now) == -3_598 * S
    assert clock.least_us(now + WINDOW_US + S) is None
    assert clock.offset_us(now + WINDOW_US + S) == told.offset_us


@pytest.mark.parametrize("offset_us", [0, -3_600 * S, 3_600 * S])
def test_the_least_offset_is_never_above_the_truth(offset_us: int) -> None:
    """With stamps, dates or both, at once or a minute later: a watermark may rest on it."""
    draws = random.Random(11)
    clock, now = VenueClock(), START
    assert clock.least_us(now) is None
    for _ in range(200):
        now += draws.randrange(1_000, 30 * S)
        if draws.random() < 0.5:
            clock.stamped(now + offset_us - draws.randrange(5_000, 50 * S), now)
        else:
            now = ask(clock, offset_us, now, draws.randrange(90_000), draws.randrange(90_000))
        for later_us in (0, S, 60 * S):
            least_us = clock.least_us(now + later_us)
            assert least_us is not None
            assert least_us <= offset_us


@pytest.mark.parametrize("drift_ppm", [-10_000, 10_000])
def test_what_is_told_holds_until_it_is_told_again(drift_ppm: int) -> None:
    """A clock of ours that is 1 % wrong drifts by a second in a hundred: that is allowed for."""
    draws = random.Random(3)
    clock, passed_us, told = VenueClock(), 0, None
    for _ in range(3_000):
        passed_us += draws.randrange(50_000, S)
        now = START + passed_us
        offset_us = passed_us * drift_ppm // 1_000_000
        if draws.random() < 0.03:
            now = ask(clock, offset_us, now, draws.randrange(90_000), draws.randrange(90_000))
        if draws.random() < 0.3:
            clock.stamped(now + offset_us - draws.randrange(5_000, 2 * S), now)
        told = clock.news(now) or told
        if told is not None:
            assert abs(told.offset_us - offset_us) <= told.error_us
    assert told is not None
    assert told.error_us <= S


def expired(now_us: int, status: int = 401, **headers: str) -> Reply:
    """The venue's answer to a request that was too late, at its own time."""
    sentence = "This request has expired - `expires` is in the past. Current time: "
    body = {"error": {"message": f"{sentence}{now_us // S}", "name": "HTTPError"}}
    return Reply(status=status, headers=headers, body=json.dumps(body).encode())


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_an_expired_request_tells_the_time(status: int, hours: int) -> None:
    """Where no `Date` comes with it, the sentence is read: what is signed next is not expired."""
    offset_us = hours * 3_600 * S
    for part_us in (0, 499_999, 500_001, 999_999):
        for told_us in (0, S // 2):  # cut to the second, or rounded
            vitals, sent_us = Vitals(), START + part_us
            there_us = sent_us + 20_000 + offset_us
            vitals.learn(expired(there_us + told_us, status), 1, 0, sent_us, sent_us + 45_000)
            interval = vitals.clock.interval(sent_us + 45_000)
            assert interval is not None
            assert interval[0] <= offset_us <= interval[1]
            assert interval[1] - interval[0] <= 2_100_000
            assert abs(vitals.venue_us(sent_us) - sent_us - offset_us) < 1_100_000


def test_a_date_is_better_than_the_sentence() -> None:
    """The header is cut to the second for certain: with it the sentence adds nothing."""
    vitals = Vitals()
    reply = expired(START + 3_600 * S, date="Fri, 15 Jan 2027 08:00:00 GMT")
    vitals.learn(reply, 1, 0, START, START + 45_000)
    assert vitals.clock.interval(START + 45_000) == (-45_000, S)


@pytest.mark.parametrize(
    "body",
    [
        b"This request has expired - Current time: 1800000000",
        b'{"error":{"message":"Current time: 1800000000","name":"HTTPError"}}',
        b'{"error":{"message":"This request has expired - Current time: soon","name":"x"}}',
        b'{"error":{"message":"This request has expired - Current time: 99999999999999"}}',
    ],
)
def test_other_sentences_tell_no_time(body: bytes) -> None:
    """Only the venue's own sentence in its own shape is believed."""
    for status in (400, 401):
        vitals = Vitals()
        vitals.learn(Reply(status=status, headers={}, body=body), 1, 0, START, START)
        assert vitals.clock.least_us(START) is None
    vitals.learn(expired(START, 503), 1, 0, START, START)
    assert vitals.clock.least_us(START) is None


def test_a_login_that_was_too_late_tells_the_time_to_the_next_one() -> None:
    """Without it a machine whose clock is slow would be refused for ever: nothing else is asked."""
    vitals = Vitals()
    sentence = "This request has expired - `expires` is in the past. Current time: "
    vitals.expired(None, f"{sentence}{START // S + 3_600}", START)
    assert abs(vitals.venue_us(START) - START - 3_600 * S) <= S
