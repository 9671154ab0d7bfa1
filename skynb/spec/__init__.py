"""The task spec."""
