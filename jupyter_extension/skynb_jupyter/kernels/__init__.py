"""Kernels on clusters: what the API offers of them."""
