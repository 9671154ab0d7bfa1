"""Dask clusters on skynb nodes."""
