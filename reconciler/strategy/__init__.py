"""What decides which targets to want. Nothing here sends an order: a target is all it can say."""

from __future__ import annotations

from reconciler.strategy.base import BadSignal, Needs, Strategy
from reconciler.strategy.signals import Signal

__all__ = ["BadSignal", "Needs", "Signal", "Strategy"]
