"""What can be rented, where, for how much."""
