"""
The command line: `reconciler`.

One module a command group. They import late whatever takes time, so that help is quick.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    import sys

    from reconciler.cli import early

    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if "run" in words:  # if this is another command with such a word, `app` finds out
            early.listen()
        from reconciler.cli.app import run

        return run(words)
    except KeyboardInterrupt:
        return 130
    finally:
        early.over()
