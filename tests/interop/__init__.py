"""
Programs that are not ours, each a real round trip against the paper exchange.

`scripts/interop` makes an environment for each of them and runs all; `test_interop` does the same
in the suite. What runs inside those environments (``with_*``, `steps`) imports nothing but the
standard library and the program under test.
"""
