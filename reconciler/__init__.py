"""Say which position to hold: the reconciler makes the account get there, and can prove it."""

__version__ = "0.1.0"
