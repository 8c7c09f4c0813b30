"""All subjects by name, and how many inputs of each a run of the tests gives."""

from __future__ import annotations

from typing import NamedTuple

from tests.fuzz.answers import Pages, Replies, Wires
from tests.fuzz.configs import Configs
from tests.fuzz.frames import Frames
from tests.fuzz.markets import Markets
from tests.fuzz.streams import Streams
from tests.fuzz.subject import Maker
from tests.fuzz.targets import Targets, Words
from tests.fuzz.whole import Whole


class Share(NamedTuple):
    """A subject, and its part of 100,000 inputs and more."""

    make: Maker
    inputs: int


SUBJECTS: dict[str, Share] = {
    "frames": Share(Frames, 34_000),
    "markets": Share(Markets, 4_000),
    "whole": Share(Whole, 3_000),
    "replies": Share(Replies, 25_000),
    "wires": Share(Wires, 8_000),
    "pages": Share(Pages, 8_000),
    "streams": Share(Streams, 5_000),
    "targets": Share(Targets, 12_000),
    "words": Share(Words, 8_000),
    "configs": Share(Configs, 3_000),
}
