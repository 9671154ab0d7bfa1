"""Which offer to take, and what else it could have been."""
