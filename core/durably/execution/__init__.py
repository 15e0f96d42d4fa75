"""One workflow, from its start or claim to its outcome: replay, steps, the exactly-once protocol, children."""
