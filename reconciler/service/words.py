"""Texts of users: what can be stored, and what cannot."""

from __future__ import annotations

from reconciler.core.targets import intake
from reconciler.errors import UsageError


def check_words(**words: str) -> None:
    """Refuse what is no text: it could not be stored, and a write that fails ends the service."""
    for name, text in words.items():
        if text.isascii():
            continue
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{name} is not text: {text[:40]!r} holds bytes that are not UTF-8",
                next_step="Write it in UTF-8.",
            ) from None


def legible(text: str) -> str:
    """*text* as far as it can be stored: nobody's halt fails because of its reason."""
    if text.isascii():
        return text[: intake.LONGEST_TEXT]
    return text[: intake.LONGEST_TEXT].encode(errors="replace").decode()
