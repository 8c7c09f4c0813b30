"""How to run a service: all that the configuration decided, without its form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reconciler.core.settings import Settings
from reconciler.service.netting import Weights
from reconciler.service.signalling import ReadWeights
from reconciler.service.strategies import MakeFeed
from reconciler.strategy.registry import Spec

STOP_WITHIN_S = 9.5  # to cancel what rests; with what follows, the promise is 15 s


class Options:
    """How to run: everything that the configuration decided, without its form."""

    def __init__(
        self,
        *,
        database: Path,
        settings: Settings,
        account: str = "main",
        environment: str = "simulated",
        durability: str = "power",
        on_expiry: str = "hold",
        keep_orders: bool = False,
        once: bool = False,
        for_s: float | None = None,
        rest_timeout_s: float = 7,
        weights: Weights | None = None,
        read_weights: ReadWeights | None = None,
        strategies: tuple[Spec, ...] = (),
        make_feed: MakeFeed | None = None,
        stop_within_s: float = STOP_WITHIN_S,
        fixed: Mapping[str, str] | None = None,
    ) -> None:
        self.database = database
        self.settings = settings
        self.account = account
        self.environment = environment
        self.durability = durability
        self.on_expiry = on_expiry
        self.keep_orders = keep_orders
        self.once = once
        self.for_s = for_s
        self.rest_timeout_s = rest_timeout_s
        self.weights = weights or Weights()
        self.read_weights = read_weights
        self.strategies = strategies
        self.make_feed = make_feed
        self.stop_within_s = stop_within_s
        self.fixed = fixed or {}  # settings that a running service does not take up
