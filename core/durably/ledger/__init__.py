"""The ledger: the only door to the system database, where workflows and their checkpoints live."""
