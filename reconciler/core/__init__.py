"""The pure core: events in, facts and decisions out. It does no I/O and reads no clock."""
