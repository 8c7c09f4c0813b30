"""Tables of policies: what they come to, and what is refused, by name and with what to do."""

from __future__ import annotations

import pytest

from reconciler.config import load
from reconciler.core.settings import Policy, Stage, default_policies
from reconciler.errors import ConfigError

SECOND = 1_000_000


@pytest.fixture
def read(tmp_path):
    """The configuration of a file that says so much of the policy *mine*."""

    def read(text: str, name: str = "mine"):
        path = tmp_path / "reconciler.toml"
        path.write_text(f"[policy.{name}]\n{text}\n")
        return load([path], environ={})

    return read


def test_a_ladder_of_the_file_is_a_ladder_of_the_core(read):
    """Times in seconds there, in microseconds here; what is not said is as everywhere."""
    config = read(
        'stages = [{how = "join", for_s = 20}, {how = "last", adverse_ticks = 4, '
        'offset_ticks = -2}, {how = "cross"}]\n'
        "over_s = 600\nslice_every_s = 7.5\nbefore_deadline_s = 3"
    )
    assert config.core_settings().policies["mine"] == Policy(
        stages=(
            Stage(how="join", for_us=20 * SECOND),
            Stage(how="last", adverse_ticks=4, offset_ticks=-2),
            Stage(how="cross"),
        ),
        over_us=600 * SECOND,
        slice_every_us=7_500_000,
        before_deadline_us=3 * SECOND,
    )
    rows = {name: value for name, value, _ in config.rows()}
    assert rows["policy.mine.stages"] == (
        '[{ how = "join", for_s = 20 }, { how = "last", adverse_ticks = 4, offset_ticks = -2 }, '
        '{ how = "cross" }]'
    )


def test_a_known_policy_is_changed_and_not_replaced(read):
    """Only what is said is other than it was; a start takes the place of the stages it had."""
    known = default_policies()["ladder"]
    slow = read("reprice_after_s = 9", "ladder").core_settings().policies["ladder"]
    assert (slow.stages, slow.reprice_after_us) == (known.stages, 9 * SECOND)
    other = read('start = "post"', "ladder").core_settings().policies["ladder"]
    assert (other.stages, other.start) == ((), "post")
    assert other.max_amends_per_order == known.max_amends_per_order


def test_a_start_that_can_not_rest_needs_no_end_of_patience(read):
    """What it would escalate to is softer: it was never meant."""
    assert read('start = "market"').core_settings().policies["mine"].start == "market"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages = []", "has no stages"),
        ('stages = [{how = "cross"}]\nstart = "join"', "has stages and start: stages say it all"),
        ('stages = [{how = "join"}, {how = "cross"}]', "does not say what ends stage 1 (join)"),
        ('stages = [{how = "jion"}]', "stages.how must be 'join', 'inside'"),
        ('stages = [{how = "join", for = 3}, {how = "cross"}]', "stages.for"),
        ('stages = [{how = "last", offset_ticks = 0.5}]', "stages.offset_ticks must be"),
        ('stages = [{how = "join", adverse_ticks = 0}, {how = "cross"}]', "greater than or equal"),
        ('stages = "join"', "stages"),
        ('start = "inside"\nescalate_to = "join"', "goes from inside back to join"),
        ("slice_every_s = 3", "has slice_every_s without over_s"),
        ("slice_book_percent = 101", "less than or equal to 100"),
        ("over_s = -1", "greater than or equal to 0"),
        ('catch_up = "never"', "must be 'slices' or 'at_once'"),
    ],
)
def test_what_can_not_be_meant_is_refused_by_name(read, text, said):
    """At the start, with the table's name: not when the first order needs it, at night."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith("policy.mine")
    assert said in str(caught.value)
