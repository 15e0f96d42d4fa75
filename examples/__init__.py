"""Programs that show how Durably is used; each of them runs."""
