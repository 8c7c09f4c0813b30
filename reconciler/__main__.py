"""``python -m reconciler`` is the command ``reconciler``."""

from reconciler.cli import main

main()
