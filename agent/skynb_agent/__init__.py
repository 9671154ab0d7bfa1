"""What runs on every node: queue, logs, processes, lease."""

__version__ = "0.1.0"
