"""What holds an order back: every limit, what it looks at, and how much it leaves."""
