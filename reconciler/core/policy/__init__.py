"""How a gap is worked: at which price, how hard by now, how much at a time."""
