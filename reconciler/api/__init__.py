"""HTTP on this machine: the door of a running service, and its journal to read."""
