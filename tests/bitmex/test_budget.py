"""The request budget and the reserve for cancels."""

from __future__ import annotations

import pytest

from reconciler.bitmex.answers import Reply
from reconciler.bitmex.budget import MINUTE_RESERVE, ONE, READ_RESERVE, SECOND_RESERVE, Budget
from reconciler.bitmex.vitals import BANNED, Vitals
from reconciler.core.events import Throttled

S = 1_000_000


def test_orders_stop_at_the_reserve() -> None:
    """New orders stop while the second bucket still has room for cancels, and go on as it fills."""
    budget = Budget()
    sent = 0
    while budget.free_us(S, order=True) == S:
        budget.spend(S, order=True)
        sent += 1
    assert sent == 10 - SECOND_RESERVE
    later = budget.free_us(S, order=True)
    assert S < later <= S + 200_000
    assert budget.free_us(later, order=True) == later


def test_the_minute_has_a_reserve_too() -> None:
    """At two orders a second the minute's bucket is what ends it, above its own reserve."""
    budget = Budget()
    now = S
    for number in range(1000):
        now += 200_000
        if budget.free_us(now, order=True) > now:
            assert 120 - MINUTE_RESERVE <= number < 300
            assert budget.minute.left >= MINUTE_RESERVE * ONE
            return
        budget.spend(now, order=True)
    raise AssertionError("the budget has no end")


def test_headers_are_believed() -> None:
    """What the venue says is left counts, less what was sent since the request that it answers."""
    budget = Budget()
    budget.spend(S, order=True)
    first = (budget.sent, budget.sent_orders)
    budget.spend(S, order=True)
    budget.spend(S, order=False)
    headers = {"x-ratelimit-remaining": "50", "x-ratelimit-remaining-1s": "5"}
    budget.observe(headers, S, *first)
    assert budget.health(S) == {"per_minute": [48, 120], "per_second": [4, 10]}


def test_limits_may_change() -> None:
    """The venue's limit replaces ours, and odd headers replace nothing."""
    budget = Budget()
    budget.observe({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "60"}, S, 0, 0)
    assert budget.health(S)["per_minute"] == [60, 60]
    for odd in ("-1", "1.5", "many", "", "²", "99999999999"):
        budget.observe({"x-ratelimit-limit": odd, "x-ratelimit-remaining": odd}, S, 0, 0)
    assert budget.health(S)["per_minute"] == [60, 60]


def test_a_refusal_blocks_until_its_moment() -> None:
    """After a 429 nothing but cancels goes until the moment it named, and that is told once."""
    budget = Budget()
    budget.block(4 * S)
    assert budget.free_us(S, order=True) == 4 * S
    assert budget.free_us(S, order=False) == 4 * S
    throttled = budget.throttled(S)
    assert throttled is not None
    assert (throttled.until_us, throttled.reason) == (4 * S, "rate_limited")
    assert budget.throttled(S) is None
    budget.block(9 * S)
    assert budget.throttled(S) is not None
    assert budget.throttled(10 * S) is None


def test_reaching_the_reserve_is_told() -> None:
    """When new orders must wait for the bucket, the core learns until when."""
    budget = Budget()
    budget.observe({"x-ratelimit-remaining": "10"}, S, 0, 0)
    throttled = budget.throttled(S)
    assert throttled is not None
    assert throttled.reason == "reserve"
    assert throttled.until_us == S + 21 * 500_000


def test_look_ups_go_before_new_orders() -> None:
    """With what is left above the reserve, a resync may read while new orders still wait."""
    budget = Budget()
    budget.observe({"x-ratelimit-remaining": str(MINUTE_RESERVE + 5)}, S, 0, 0)
    assert budget.free_us(S, order=False) == S
    assert budget.free_us(S, order=True) > S
    for _ in range(5):
        assert budget.free_us(S, order=False) == S
        budget.spend(S, order=False)
    assert budget.free_us(S, order=False) > S, "what is kept for cancels is not for look-ups"
    assert budget.minute.left == MINUTE_RESERVE * ONE


def test_orders_that_never_end_leave_room_for_a_resync() -> None:
    """Whatever many symbols place, at any moment a resync of ten requests could begin at once."""
    budget, now, placed = Budget(), S, 0
    for _ in range(2_000):
        now += 50_000
        while budget.free_us(now, order=True) <= now:
            budget.spend(now, order=True)
            placed += 1
        assert budget.minute.left >= (MINUTE_RESERVE + READ_RESERVE) * ONE
        assert budget.free_us(now, order=False) == now
    assert placed > 200, "and they do place"


@pytest.mark.parametrize("limit", [1, 2, 5, 10, 30, 60])
def test_however_small_the_venue_makes_a_bucket_orders_still_go(limit: int) -> None:
    """A reserve that is larger than the bucket would stop all orders for good."""
    budget = Budget()
    said = str(limit)
    headers = {"x-ratelimit-limit": said, "x-ratelimit-remaining": said,
               "x-ratelimit-limit-1s": said, "x-ratelimit-remaining-1s": said}  # fmt: skip
    budget.observe(headers, S, 0, 0)
    sent = 0
    while budget.free_us(S, order=True) == S:
        budget.spend(S, order=True)
        sent += 1
    assert 0 < sent <= limit
    assert S < budget.free_us(S, order=True) <= 61 * S


def test_a_ban_is_told_as_one() -> None:
    """Whoever is told to wait for five minutes or longer learns that it is no usual throttle."""
    for wait, told in (("7", "rate_limited"), ("3600", BANNED), ("604800", BANNED)):
        vitals = Vitals()
        reply = Reply(status=429, headers={"retry-after": wait}, body=b"")
        vitals.learn(reply, 0, 0, S, 2 * S)
        (throttled,) = vitals.throttled(2 * S)
        assert isinstance(throttled, Throttled)
        assert throttled.reason == told
        assert throttled.until_us == 2 * S + min(int(wait), 300) * S


def test_whoever_waits_for_the_venue_says_so() -> None:
    """A stream that is long out of sync is explained by the wait, and not by "no answer yet"."""
    vitals = Vitals()
    assert vitals.blocked(S) == ""
    reply = Reply(status=429, headers={"retry-after": "86400"}, body=b"")
    vitals.learn(reply, 0, 0, S, 2 * S)
    assert vitals.blocked(2 * S) == f"{BANNED} (for 300 s more)"
    assert vitals.blocked(300 * S + 1) == f"{BANNED} (for 2 s more)"
    assert vitals.blocked(302 * S) == ""


def test_a_429_without_a_time_makes_us_wait_all_the_same() -> None:
    """Absent, unreadable, negative or nothing: a second is the least."""
    for header in ({}, {"retry-after": "soon"}, {"retry-after": "-9"}, {"retry-after": "0"}):
        vitals = Vitals()
        vitals.learn(Reply(status=429, headers=header, body=b""), 0, 0, S, 2 * S)
        assert vitals.budget.free_us(2 * S, order=False) == 3 * S
        assert vitals.budget.free_us(2 * S, order=True) == 3 * S
