"""A house whose processes are forked from one that has imported everything: see `zygote`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.endtoend.house import SYMBOLS, House
from tests.endtoend.zygote import Child, Zygote

Point = tuple[str, int]


class Forked(House):
    """A house whose processes are forked, can be killed at a point, and can be held."""

    def __init__(
        self,
        folder: Path,
        zygote: Zygote,
        *,
        seed: int = 7,
        symbols: tuple[str, ...] = SYMBOLS,
        more: str = "",
        faults: tuple[str, ...] = (),
        hurry: bool = True,
        generous: bool = False,
        trusted: Path | None = None,
    ) -> None:
        super().__init__(folder, seed=seed, symbols=symbols, more=more, faults=faults)
        self._zygote = zygote
        self._hurry, self._generous = hurry, generous
        self._trusted = trusted  # the certificate authority
        self._lost = ""  # what was acknowledged and is not there

    def spawn(self, *words: str) -> Child:
        """Start one of our own commands."""
        return self._fork(words)

    def begin(self, point: Point | None = None, held: bool = False) -> None:
        """Start the service, and wait for nothing."""
        self.service = self._fork(("-vv", "-c", str(self.config), "run"), point, held)

    def _fork(
        self, words: tuple[str, ...], point: Point | None = None, held: bool = False
    ) -> Child:
        return self._zygote.fork(
            list(words),
            folder=self.folder,
            log=self.folder / "service.log",
            point=point,
            held=held,
            hurry=self._hurry,
            generous=self._generous,
            trusted=self._trusted,
        )

    def redirect(self, url: str) -> None:
        """Let the service find the venue at *url*."""
        said = self.config.read_text()
        self.config.write_text(said.replace(f'"{self.venue_url}"', f'"{url}"'))

    def service_row(self) -> dict[str, Any]:
        """What the service says of itself."""
        door = self.door_or_none()
        assert door is not None
        found: dict[str, Any] = door.status()["service"]
        return found

    def all_booked(self) -> bool:
        """Whether the journal has all fills of the venue."""
        _, _, stored, venue = self.never()
        return stored == venue

    def clear(self) -> None:
        """Forget what was printed."""
        (self.folder / "service.log").write_bytes(b"")

    def compare_targets(self) -> bool:
        """Whether the door is open; what was acknowledged before must be there."""
        if self.door_or_none() is None:
            return False
        for symbol, row in self.status().items():
            said = self.acknowledged.get(symbol)
            if said is not None and row["target"] != said:
                self._lost = f"{symbol}: {said} was acknowledged, {row['target']} is there"
        return True

    def raise_lost(self) -> None:
        """Fail if `compare_targets` missed something; not where errors are expected."""
        assert not self._lost, self._lost

    def backup(self) -> str:
        """A copy of the journal, by the service."""
        door = self.door_or_none()
        assert door is not None
        return door.backup()
