"""Whose is what: the sub-ledger of strategies."""
