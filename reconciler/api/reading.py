"""
What comes in: one question, its body strictly read, and the door asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from reconciler.api.answers import Answer, Problem
from reconciler.errors import InDoubt

T = TypeVar("T")


class Request(NamedTuple):
    """One question, with the body as it came."""

    names: Mapping[str, str]  # of the path
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


#: What answers a question.
Handler = Callable[[Request], Answer]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body without anything to say."""


def ask(question: Callable[[], T]) -> T:
    """
    What a door answers.

    Raises:
        InDoubt: It did not, in time.
    """
    try:
        return question()
    except TimeoutError:
        raise InDoubt("the service gave no answer in time") from None


def known(query: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Refuse a parameter that nobody knows."""
    for name in query:
        if name not in names:
            there_are = ", ".join(names) or "none"
            raise Problem(
                400, "bad_request", f"{name[:40]!r} is no parameter here; {there_are} are."
            )


def parsed(body: bytes, shape: type[T], *, number: Callable[[str], object] | None = None) -> T:
    """
    JSON, strictly: no fraction where a whole number is meant, no name twice, none unknown.

    Args:
        body: As it came.
        shape: What it has to be.
        number: Makes something of fractions; without it they are refused.

    Raises:
        Problem: 400, with what is wrong.
    """
    try:
        value = json.loads(
            body,
            object_pairs_hook=_no_name_twice,
            parse_float=number or _refuse_number,
            parse_constant=_refuse_constant,
        )
        return msgspec.convert(value, shape)
    except (ValueError, RecursionError) as error:
        said = str(error) if not isinstance(error, json.JSONDecodeError) else error.msg
        raise Problem(400, "bad_request", f"The body is not understood: {said[:200]}.") from None
    except ArithmeticError:  # of what makes something of fractions
        raise Problem(400, "bad_request", "The body has a number that is too long.") from None


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _refuse_number(text: str) -> None:
    raise ValueError(f"{text[:40]} is not a whole number")
