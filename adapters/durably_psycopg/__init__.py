"""Durably's transactions through psycopg 3, synchronous and asynchronous."""
