"""
The configuration: what can be set, what each setting may be, and where its value came from.

First wins: command line, environment, secrets directory, file (of several, the later), default.
A name that is not known is an error at every level, because a limit that was misspelt is no
limit. Only what the program uses today can be set.

`sections` has one class a table of the file, `kinds` what a single setting may be, `app` all of
them together, `loading` reads and checks, `layers` knows names and places, `accounts` takes
``[account.NAME]`` apart.
"""

from __future__ import annotations

from .app import AppConfig, database_path, names_of
from .kinds import micro, split_listen
from .loading import load, load_all

__all__ = ["AppConfig", "database_path", "load", "load_all", "micro", "names_of", "split_listen"]
