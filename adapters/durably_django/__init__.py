"""Durably's transactions through Django's ORM."""
