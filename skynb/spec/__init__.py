"""The task spec: what a person asks for."""
