"""The state machines of managed jobs, pure."""
