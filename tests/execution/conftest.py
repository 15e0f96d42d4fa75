"""The two forms of a workflow, and one that is interrupted."""

from tests.messaging.conftest import form, lives

__all__ = ["form", "lives"]
