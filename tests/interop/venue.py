"""
The paper exchange for a round trip, in a process of its own: keys, signatures and rate limits as
they are, and a market that moves only when it is told to, so that a test knows who trades next.

Prints its address and serves until its input ends.
"""

from __future__ import annotations

import sys

from reconciler.paper import PaperExchange


def main() -> None:
    with PaperExchange(walk=False) as venue:
        print(venue.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
