"""Reading the configuration a second time, for a service that runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.cli import wiring
from reconciler.cli.app import Ask
from reconciler.errors import ConfigError

if TYPE_CHECKING:
    from reconciler.config import AppConfig
    from reconciler.service.reloading import Read


def reader(ask: Ask, config: AppConfig) -> Read:
    """
    What reads the configuration again, from where *config* was read.

    A file that is gone or empty says nothing: taken at its word, it would lift every limit and end
    every strategy.
    """
    from reconciler.config.layers import files_to_read
    from reconciler.service.options import Options

    account = config.exchange.account
    files = files_to_read(ask.config, os.environ)

    def read() -> Options:
        for path in files:
            try:
                size = path.stat().st_size
            except OSError as error:
                raise ConfigError(
                    f"{path}, which was read at the start, cannot be read: {error.strerror}",
                    path=str(path),
                ) from None
            if not size:
                raise ConfigError(f"{path} is empty", path=str(path))
        return wiring.options(ask.settings(account))

    return read
