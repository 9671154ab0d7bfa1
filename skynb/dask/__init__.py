"""Dask on rented machines: `skynb.SkyCluster`. Import it late: `distributed` is heavy."""
