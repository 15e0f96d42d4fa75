"""Durably's transactions through Peewee, synchronous and asynchronous."""
