"""The API server, as a Jupyter server extension."""
