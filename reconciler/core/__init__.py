"""
The pure core: events in, facts and decisions out. It does no I/O and reads no clock.

Its assertions are part of it: what must not happen stops the program before a byte is sent.
"""

from reconciler.errors import ConfigError

if not __debug__:
    raise ConfigError(
        "Python was told to skip assertions, and the core stops at a broken one",
        next_step="Run Python without -O, and without PYTHONOPTIMIZE in the environment.",
    )
