"""What runs on every node: queue, logs, processes, lease."""
