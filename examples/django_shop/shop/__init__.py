"""The shop's application."""
