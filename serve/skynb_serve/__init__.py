"""Services: endpoints over replicas."""
