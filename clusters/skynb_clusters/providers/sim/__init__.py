"""Simulated clouds: `sim/aws/us-east-1` is aws, played. Start reading at `world.py`."""
