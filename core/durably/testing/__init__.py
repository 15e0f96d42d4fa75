"""The public test kit: what Durably's own tests use, for yours.

- ``durably.testing.postgres``: a throw-away PostgreSQL server, started here and gone afterwards.
- ``durably.testing.mariadb``: the same for MariaDB.
- ``durably.testing.conformance``: what every adapter must do, as tests for yours.
"""
