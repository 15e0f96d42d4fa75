"""The scenarios, one file for each promise of the contract; each is written once for both halves."""
