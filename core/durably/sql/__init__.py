"""What Durably knows of SQL itself: dialects, and the statements that run on the user's own connection.

``begin``     how to begin a transaction on each dialect, from isolation level and read-only
``failures``  the one classifier of database failures
"""
