"""The request budget and the reserve for cancels."""

from __future__ import annotations

from reconciler.bitmex.budget import MINUTE_RESERVE, ONE, SECOND_RESERVE, Budget

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
