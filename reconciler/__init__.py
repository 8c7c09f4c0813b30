"""Say which position to hold; the reconciler makes the account get there, stay there, and prove it."""

__version__ = "0.1.0"
