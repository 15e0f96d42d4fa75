"""Being an executor: a lease kept alive, take-over from the dead, claims of what waits, hand-back at the end."""
