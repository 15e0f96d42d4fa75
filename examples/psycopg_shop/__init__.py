"""A shop on psycopg, without an ORM: ``python -m examples.psycopg_shop``."""
