"""
How the engine of the real venue writes small numbers: ``5.0E-4`` (protocol sheet, section 3).

It does so in the rows that it makes, of executions and funding. Others have ``0.0005``: a client
has to read both.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from .instruments import plain

_LARGEST = Decimal("0.001")  # from here on down a number is written with an exponent


class Engine(Decimal):
    """A number in every other respect."""

    __slots__ = ()

    def written(self) -> str:
        """One digit, a point, the others, and the exponent."""
        number = self.as_tuple()
        digits = "".join(map(str, number.digits))
        sign = "-" if number.sign else ""
        return f"{sign}{digits[0]}.{digits[1:] or '0'}E{self.adjusted()}"


@lru_cache(maxsize=1_024)
def engine(number: Decimal) -> Decimal:
    """*number* as the engine writes it."""
    number = plain(number)
    return Engine(number) if number and abs(number) < _LARGEST else number
