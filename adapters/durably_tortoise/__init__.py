"""Durably's transactions through Tortoise ORM."""
