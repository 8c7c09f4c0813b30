"""What people and strategies want: checked, taken in, timed, and how far it may go."""
