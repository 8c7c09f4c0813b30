"""What others do to the account, and what a person or a rule decides about it."""
