"""Talking to the server; the SDK."""
