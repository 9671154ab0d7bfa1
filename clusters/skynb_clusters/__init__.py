"""Providers, transports and the life of a cluster."""
