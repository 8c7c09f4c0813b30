"""
The hunt for planted faults: which seed misses a guard, and after how many.

    python -m tests.simulation.hunt

prints the table of all of them.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import NamedTuple

import pytest

from reconciler.simulation.runs import live
from reconciler.simulation.weather import (
    MANNERED_FROM,
    MIXED_FROM,
    NETTED_FROM,
    PEOPLED_FROM,
    WATCHED_FROM,
)
from reconciler.simulation.world import World
from tests.simulation.planted_limits import FAULTS
from tests.simulation.planted_people import PEOPLE
from tests.simulation.planted_policies import NETTING, POLICIES
from tests.simulation.scenarios import scenario

#: Guards that a storm of everything needs too rarely, and the scenario that needs them often.
SCENES = {
    "refusals_are_not_waited_for": "refusals",
    "gate without _clock": "a slow way there",
    "a_pause_is_nothing": "pauses",
    "a_stop_withdraws_nothing": "halts",
    "Halted is ignored": "halts",
    "a_person_s_pause_is_not_heard": "halts",
    "reduce_only_is_not_heard": "halts",
    "filled_follows_the_last_row": "late rows",
    "no_settling": "late rows",
    "rows_never_seen_are_fine": "strange rows",
    "no_expiry": "a proxy that gives up",
    "a_restart_forgets": "crashes",
    "a_502_is_a_refusal": "gateways",
    "the_position_is_never_read": "people",
    "past_the_target_is_fine": "people",
    "amends_are_not_counted": "a market that runs away",
    "amends_have_no_budget": "a market that runs away",
    "what_rests_does_not_hear_the_deadline": "a market that runs away",
    "what_rests_stays_beyond_a_limit": "a loss while an order rests",
}
#: Found late, after so many seeds and one: the suite begins with the seed that notices. Strategies
#: have shares in lives from another number on.
LATE = {
    "a_look_up_that_failed_found_nothing": 195,
    "no_barrier": 53,
    "no_hold_time": 44,
    "gate without _stopped": 32,
    "silence_is_patience": 33,
    "one_empty_look_up_is_absence": 29,
    "any_503_is_a_refusal": 22,
    "gate without _in_sync": 15,
    "live_before_it_was_read": 15,
    "the_position_is_never_read": 12,
    "StreamLost is ignored": 10,
    "a_failed_commit_is_no_end": 9,
    "a_sync_is_done_before_its_fills_are_read": 10,
    "halted_orders_stay": 6,
    "no_limit_of_orders": 9,
    "slices_are_of_any_size": MANNERED_FROM,  # there are none before
    "guards without _orders_a_day": MIXED_FROM + 12,  # nor limits of such kinds before these
    "guards without _order_notional": MIXED_FROM + 15,
    "guards without _position_notional": MIXED_FROM + 1,
    "guards without _open_orders": MIXED_FROM + 29,
    "guards without _uncrossed": MIXED_FROM + 76,
    "guards without _collar": MIXED_FROM + 11,
    "a restart forgets what was lost": WATCHED_FROM + 9,  # and tight ones before these
    "a restart renews the day": WATCHED_FROM + 9,
    "a_restart_renews_the_minute": WATCHED_FROM + 26,
    "a_row_comes_due_again": WATCHED_FROM + 1,
    "a_row_overrules_what_was_said_since": WATCHED_FROM + 1,
    "a_row_waits_until_something_else_happens": WATCHED_FROM + 1,
    "a_stranger_freezes_nothing": WATCHED_FROM + 1,
    "a_target_never_runs_out": WATCHED_FROM + 15,
    "a_target_runs_out_early": WATCHED_FROM,
    "what_was_to_be_flattened_is_held": WATCHED_FROM,
    "guards without _hits": WATCHED_FROM + 5,
    "guards without _liquidation_known": WATCHED_FROM + 1,
    "guards without _margin_known": WATCHED_FROM + 1,
    "max_daily_loss_minor is never reached": WATCHED_FROM + 10,
    "max_drawdown_minor is never reached": WATCHED_FROM + 9,
    "no_margin_is_too_small": WATCHED_FROM + 22,
    "nothing_runs_away": WATCHED_FROM + 62,
    "a_flatten_is_only_a_reduce_only": WATCHED_FROM + 63,
    "no_liquidation_is_too_near": WATCHED_FROM + 8,
    "no_order_is_too_large": WATCHED_FROM + 4,
    "no_position_is_too_large": WATCHED_FROM + 28,
    "rows_that_came_due_in_a_crash_are_lost": WATCHED_FROM + 1,
    "who_was_told_too_late_wins": WATCHED_FROM + 3,
    "a_price_is_never_too_young": MANNERED_FROM + 5,
    "a_restart_begins_the_way_anew": MANNERED_FROM + 23,
    "a_share_is_all_there_is": MANNERED_FROM + 6,
    "a_signal_follows_the_market": MANNERED_FROM + 10,
    "a_start_makes_patient_again": MANNERED_FROM + 14,
    "a_way_is_a_step_ahead": MANNERED_FROM + 7,
    "every_tick_is_followed": MANNERED_FROM + 10,
    "last_is_a_tick_too_good": MANNERED_FROM + 1,
    "a_fill_makes_patient_again": NETTED_FROM + 6,  # strategies, and a book that is thin
    "a_share_is_of_the_other_side": NETTED_FROM + 37,
    "a_batch_takes_its_first_signal": NETTED_FROM + 12,
    "a_cap_is_cut_after_rounding": NETTED_FROM + 4,
    "a_start_forgets_signals": NETTED_FROM + 4,
    "a_target_names_old_signals": NETTED_FROM + 1,
    "rounding_is_always_to_the_nearest": NETTED_FROM + 1,
    "weights_wait_for_a_signal": NETTED_FROM + 4,
    "a_decision_closes_all_of_its_symbol": PEOPLED_FROM + 23,
    "a_decision_closes_whatever_is_open": PEOPLED_FROM + 5,  # people who decide, and ask
    "a_difference_is_settled_by_nobody": PEOPLED_FROM + 1,
    "a_difference_is_settled_under_a_halt": PEOPLED_FROM + 39,
    "a_file_is_set_as_far_as_it_goes": PEOPLED_FROM + 1,
    "a_file_needs_nobody_to_confirm_it": PEOPLED_FROM + 1,
    "a_plan_stands_on_nothing": PEOPLED_FROM + 1,
    "a_restart_forgets_what_is_usual": PEOPLED_FROM + 2,
    "any_number_is_confirmed_by_any": PEOPLED_FROM + 9,
    "differences_are_not_counted": PEOPLED_FROM + 28,
    "money_is_rounded_up": PEOPLED_FROM + 8,
    "prune_leaves_what_it_does_not_name": PEOPLED_FROM + 1,
    "to_adopt_wants_nothing_else": PEOPLED_FROM + 5,
    "to_trade_back_by_a_word_wants_what_is_there": PEOPLED_FROM + 23,
    "to_trade_back_wants_what_is_there": PEOPLED_FROM + 1,
    "what_was_asked_is_not_recorded": PEOPLED_FROM + 2,
    "whatever_differs_is_settled_at_once": PEOPLED_FROM,
    "who_adopts_goes_on_wanting": PEOPLED_FROM + 11,
    "who_adopts_has_no_policy": PEOPLED_FROM + 5,
    "who_adopts_wants_it_without_end": PEOPLED_FROM + 104,
} | dict.fromkeys(
    ("parts_are_rounded_down", "strategies_pass_nothing_on", "funding_is_not_shared"),
    MANNERED_FROM,
)

#: Noticed by stories (tests/stories/test_first_position.py), and by none of 1,600 storms since the
#: first position is looked for with care: it needs a scenario of its own.
UNSEEN = frozenset(
    {
        "late_rows_are_in_no_anchor",
        "a_difference_of_now_is_one_for_good",  # by test_guards_mismatch.py; one life in 250
    }
)
#: A fault that no longer fits the code it is planted in would be found by any seed.
NOT_PLANTED = ("AttributeError", "ImportError", "NameError", "TypeError")
assert FAULTS.keys() >= POLICIES | NETTING | PEOPLE


class Found(NamedTuple):
    """The first seed that noticed."""

    seeds: int
    seed: int
    what: str


def find(name: str, most: int, first: int = 0) -> Found | None:
    """Live seeds, of its scenario if it has one, until one fails."""
    make = partial(scenario, SCENES[name]) if name in SCENES else World
    for seed in range(first, first + most):
        life = live(seed, make)
        if life.error:
            assert not life.error.startswith(NOT_PLANTED), f"{name} fits no more: {life.error}"
            return Found(seed - first + 1, seed, life.error.splitlines()[0][:90])
    return None


def table() -> None:
    """Every fault, the seed that notices, and how."""
    seeds = []
    for name, plant in FAULTS.items():
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            found = find(name, 2_000)
        seeds.append(found.seeds if found else 10**9)
        where = SCENES.get(name, "a storm")
        print(f"{name:42} {where:24} {found or 'NOT FOUND'}", flush=True)
    print(f"{len(seeds)} faults, median after {median(seeds)} seeds, the last after {max(seeds)}")


if __name__ == "__main__":
    table()
