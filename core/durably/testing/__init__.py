"""The public test kit: what Durably's own tests use, for yours.

- ``durably.testing.postgres``: a throw-away PostgreSQL server, started here and gone afterwards.
- ``durably.testing.mariadb``: the same for MariaDB.
"""
