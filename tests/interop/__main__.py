"""
Run programs that are not ours against the paper exchange.

    scripts/interop [PROGRAM ...]     bitmex-ws, ccxt, ccxt-pro, pybotters; all of them by default

Each has an environment of its own under .interop/, made from a lock file in scripts/lock/interop/,
and a paper exchange for itself. Every line is one thing that was done through the program's public
functions and held against what the venue knows. Ends with 1 when anything failed.
"""

from __future__ import annotations

import argparse
import time

from tests.interop import runner


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/interop", description="Programs not ours.")
    parser.add_argument("program", nargs="*", choices=[[], *runner.PROGRAMS])
    names = parser.parse_args().program or list(runner.PROGRAMS)
    failed = []
    for name in names:
        program = runner.PROGRAMS[name]
        print(name, flush=True)
        if why := runner.missing(program):
            print(f"  NOT RUN  {why}")
            failed.append(name)
            continue
        began = time.monotonic()
        code, said = runner.run(program)
        print(said, end="")
        print(f"  {'failed' if code else 'whole'} in {time.monotonic() - began:.1f} s", flush=True)
        if code:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else f"{len(names)} programs, all whole")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
