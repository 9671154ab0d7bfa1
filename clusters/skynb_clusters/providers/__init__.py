"""One module per kind of infra; each fulfils the Provider contract."""
