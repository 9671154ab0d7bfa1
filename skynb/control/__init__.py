"""The control core: ledger, reconciler, events, leases, spend."""
