"""A notebook as a managed job: its parameters, what travels, and what comes back cell by cell."""
