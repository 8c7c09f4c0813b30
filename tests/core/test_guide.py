"""The core can be read: its guide names every module, and what must be read is short."""

from __future__ import annotations

import re
from pathlib import Path

import reconciler.core as core

HERE = Path(core.__file__).parent
MOST_LINES = 2_200  # of what has to be read to understand the promise
LINE = re.compile(r"^    ([a-z]+) +([0-9]+)  \S", re.MULTILINE)


def lines_of(name: str) -> int:
    return len((HERE / f"{name}.py").read_text().splitlines())


def guide() -> tuple[dict[str, int], dict[str, int]]:
    """The spine, and its words: module and the lines that the guide promises."""
    spine, words = str(core.__doc__).split("These are its words")
    return tuple(
        {name: int(count) for name, count in LINE.findall(part)} for part in (spine, words)
    )  # type: ignore[return-value]


def test_what_has_to_be_read_is_short() -> None:
    """Half an hour: whoever adds to the spine takes something out of it, or makes a leaf."""
    spine, _ = guide()
    assert len(spine) > 10
    assert sum(lines_of(name) for name in spine) <= MOST_LINES


def test_the_guide_names_every_module_and_every_folder() -> None:
    """What is new is spine, word or leaf: somebody has to say which."""
    spine, words = guide()
    modules = {path.stem for path in HERE.glob("*.py")} - {"__init__"}
    assert modules == {*spine, *words}
    assert not spine.keys() & words.keys()
    folders = {path.parent.name for path in HERE.glob("*/__init__.py")}
    named = set(re.findall(r"^    ([a-z]+)  +[a-z]", str(core.__doc__), re.MULTILINE))
    assert folders == named


def test_the_guide_counts_right() -> None:
    """Within a tenth: it says what one lets oneself in for."""
    for name, promised in {k: v for part in guide() for k, v in part.items()}.items():
        assert abs(lines_of(name) - promised) <= max(promised // 10, 10), name
