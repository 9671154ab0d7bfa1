"""Money and time as readers want them."""

from __future__ import annotations

HOUR = 3600


def dollars(micro: int) -> str:
    """Micro-dollars as a reader wants them: `$12.34`, `$0.0416`."""
    return f"${micro / 1e6:,.2f}" if micro >= 1_000_000 or micro == 0 else f"${micro / 1e6:.4f}"


def hours_text(seconds: int) -> str:
    """Seconds as a reader wants them: `1.5 h`, `20 min`, `40 s`."""
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds / HOUR:.3g} h" if seconds >= HOUR else f"{seconds / 60:.3g} min"
