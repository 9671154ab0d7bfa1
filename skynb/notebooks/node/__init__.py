"""What runs a notebook on a node. It is sent as files: of others it imports only nbclient; Python >= 3.8."""
