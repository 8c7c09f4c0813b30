"""
Speed, measured against the least that could do the same: see `tests.bench.__main__`.

`venue` is the other end of every socket, `ours` the real service, `raw` the prototype that it is
compared with, `rounds` what is timed, `table` what is printed.
"""
