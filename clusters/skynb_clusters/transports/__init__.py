"""Ways to a node that providers share; each fulfils the Transport contract."""
