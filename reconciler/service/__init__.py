"""The shell around the core: the loop, the doors for commands, and an orderly start and stop."""
