"""A shop on Django: a project with one application, whose orders are placed exactly once."""
