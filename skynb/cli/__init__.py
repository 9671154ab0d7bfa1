"""The click tree: one set of commands for the terminal, `%sky` and `%%sky`."""


def main() -> None:
    """Console script `skynb`."""
    raise SystemExit("not built yet")
