"""Durably's tables as Django migrations: one for each numbered step of ``durably.schema``."""
