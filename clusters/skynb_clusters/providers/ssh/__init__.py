"""Infra `ssh`: machines are allocations on hosts that somebody has, in pools. Start at `provider.py`."""
