"""The Python environment of whoever asks, had again on nodes: read here, resolved by uv, sent with a task."""

from skynb.environment.carried import carried
from skynb.environment.here import Environment, Pin, imported, read
from skynb.environment.lock import locked

__all__ = ["Environment", "Pin", "carried", "imported", "locked", "read"]
