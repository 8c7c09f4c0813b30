"""Configuration files, variables and options: right ones with something wrong in them."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from pathlib import Path

from reconciler.config import AppConfig, load
from reconciler.errors import ConfigError
from tests.fuzz.material import damaged

SECRET = "canary-5f1c0a"
HONEST: dict[str, dict[str, str]] = {
    "exchange": {
        "environment": '"simulated"',
        "url": '"http://127.0.0.1:8766"',
        "account": '"main"',
        "symbols": '["XBTUSD", "ETHUSD"]',
        "api_key": f'"{SECRET}"',
        "api_secret": f'"{SECRET}"',
        "rest_timeout_s": "7.5",
        "dead_man_s": "60",
    },
    "database": {"url": '"sqlite:///journal.db"', "durability": '"power"'},
    "limits": {
        "max_position_contracts": "3000",
        "max_order_contracts": "300",
        "max_orders_per_minute": "30",
        "price_collar_bps": "50",
        "stale_price_s": "60",
    },
    "limits.symbol.XBTUSD": {"max_position_contracts": "100", "price_collar_bps": "10"},
    "policy.urgent": {"start": '"cross"', "reprice_after_s": "0.5", "max_slippage_bps": "15"},
    "policy.mine": {"start": '"join"', "escalate_to": '"inside"', "band_contracts": "0"},
    "policy.climbs": {
        "stages": '[{how = "last", adverse_ticks = 4, offset_ticks = -1}, {how = "cross"}]',
        "over_s": "600",
        "catch_up": '"at_once"',
    },
    "reconcile": {
        "default_policy": '"passive"',
        "foreign_orders": '"count"',
        "on_stop": '"cancel"',
        "on_expiry": '"hold"',
        "in_flight_deadline_s": "3",
    },
    "api": {"listen": '"127.0.0.1:8764"'},
    "log": {"format": '"auto"', "level": '"info"'},
}
VALUES = (
    *("0", "-1", "1", "5.0", "5.5", "1e3", "1e400", "nan", "inf", "-inf", "true", "false", "[]"),
    *("{}", '""', '"5"', '"live"', '"testnet"', '"cancel"', "9" * 30, "9" * 5_000, "0x10", "1_0"),
    *("2026-01-01", "2026-01-01T00:00:00Z", "12:00:00", '["XBTUSD", "XBTUSD"]', '["xbt"]', "[1]"),
    *('["XBTUSD", 5]', '[["XBTUSD"]]', '"https://www.bitmex.com"', '"http://evil.example"'),
    *('"https://user:pass@host"', '"http://[::1"', '"sqlite:///"', '"postgresql://x/y"', "{a=1}"),
    *('"0.0.0.0:8764"', '"127.0.0.1:99999"', '"127.0.0.1"', '"[::1]:0"', '"\\u0000"', "'''", ""),
    *('"' + "x" * 2_000 + '"', "[" * 400 + "]" * 400, "0.1234567", "1e-7", "00", "- 1", "0.0"),
)
SECTIONS = (*HONEST, "limit", "Exchange", "limits.symbol", "policy", "a.b.c", "", "[api]", "api.x")


class Configs:
    """Files and variables through `load`."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()
        self.path = folder / "reconciler.toml"

    def close(self) -> None: ...

    def one(self) -> bytes:
        rng = self.rng
        said = self.text().encode("utf-8", "surrogatepass")
        if rng.random() < 0.15:
            said = damaged(rng, said)
        self.path.write_bytes(said)
        self.path.chmod(0o600)
        environ = {"HOME": str(self.path.parent)}
        if rng.random() < 0.2:
            section = rng.choice(list(HONEST)[:4])
            name = rng.choice((*HONEST[section], "nonsense"))
            variable = f"RECONCILER_{section}__{name}".upper().replace(".", "__")
            environ[variable] = rng.choice(VALUES).strip('"').replace("\x00", "")
        try:
            config = load([self.path], environ=environ)
            settings = config.core_settings()
        except ConfigError as error:
            self.seen["refused"] += 1
            self.told(str(error))
            return said
        self.seen["loaded"] += 1
        self.judge(config)
        assert settings.symbols == config.exchange.symbols
        return said

    def text(self) -> str:
        """A file with few or many of the settings, some of them not as they should be."""
        rng = self.rng
        rate = rng.choice((0.0, 0.02, 0.1))
        lines = []
        for section, names in HONEST.items():
            if rng.random() < 0.5:
                continue
            wrong = rng.random() < rate
            lines.append(f"[{rng.choice(SECTIONS) if wrong else section}]")
            for name, value in names.items():
                if rng.random() < 0.5:
                    continue
                drawn = rng.random()
                if drawn < rate / 2:
                    name = rng.choice((name.upper(), name[:-1], f"{name}s", "__class__", "a.b", ""))
                lines.append(f"{name} = {rng.choice(VALUES) if drawn > 1 - rate else value}")
        return "\n".join(lines) + "\n"

    @staticmethod
    def told(said: str) -> None:
        """A refusal is short, of one line, and keeps the secret."""
        assert SECRET not in said
        assert len(said) < 3_000
        assert "\x1b" not in said

    @staticmethod
    def judge(config: AppConfig) -> None:
        """What was accepted is of the right kind and in range."""
        assert config.exchange.environment in ("simulated", "testnet", "live")
        assert config.exchange.symbols
        limits = config.limits
        for number in (limits.max_position_contracts, limits.max_orders_per_minute):
            assert type(number) is int
            assert 0 <= number <= 10**15
        assert isinstance(limits.stale_price_s, Decimal)
        assert SECRET not in repr(config)
        assert SECRET not in " ".join(str(row) for row in config.rows())
