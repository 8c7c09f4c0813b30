"""Stories that a machine told first: each is a path on which a promise was once broken."""

from __future__ import annotations

from tests.stories.teller import tell


def test_an_order_too_young_to_be_shown_has_not_vanished() -> None:
    """
    Seen alive just before a crash, an order may be hidden from the first reads after it; that is
    lag, and freezes nothing. Still unseen when every read must show it, it is another matter.
    """
    start = """
        target +100             -> place r1 +100
        ok r1                                                 = working
        restart                                               = working
        sync +0                 -> read r1
        read r1 empty                                         = working ~ a fill of r
        wait 2_000
    """
    tell(start + "wait 1 -> read r1\nread r1 new 0 = working\nfill r1 +100 x1 = filled")
    tell(start + "wait 1 -> read r1\nread r1 empty -> cancel r1, incident vanished_order")
