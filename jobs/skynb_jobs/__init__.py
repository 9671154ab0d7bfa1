"""Managed jobs: work that finishes, whatever happens to the machines."""
