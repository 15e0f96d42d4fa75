"""What Durably knows of SQL itself, and the statements that run on the user's own connection.

``dialect``     what differs between databases, as data
``begin``       how to begin a transaction, from dialect, isolation level and read-only
``completion``  the checkpoint of a transaction, written inside it
``starting``    a workflow's row and inputs, written inside the caller's transaction
``drivers``     what one exception of a database driver says
``failures``    the one classifier of database failures
``gate``        first come, first served for the writers of one SQLite file
"""
