"""A shop on Tortoise ORM, asynchronous throughout: ``python -m examples.tortoise_shop``."""
