"""A world in which all that can happen is decided by us: time, network, disk, venue, crashes."""
