"""Durably side by side with DBOS and with the bare driver: ``python -m benchmarks.side_by_side``."""
