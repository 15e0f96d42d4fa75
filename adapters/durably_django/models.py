"""No models: Durably's tables are its own. But ``post_migrate`` is sent only for applications with this module."""
