"""One program per measured system: it does the same work its own way, and prints its figures as one line of JSON."""
