"""A paper exchange to be measured: prints its port, tells its processor time when asked."""

from __future__ import annotations

import json
import os
import sys

from reconciler.paper import PaperExchange
from reconciler.paper.serving import spare_the_collector


def main() -> None:
    with PaperExchange(**json.loads(sys.argv[1])) as venue:
        spare_the_collector()  # as the command does
        print(venue.port, flush=True)
        for _ in sys.stdin:
            times = os.times()
            print(times.user + times.system, flush=True)


if __name__ == "__main__":
    main()
