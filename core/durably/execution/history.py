"""What a workflow did in its earlier life, and whether its replay follows it."""

from __future__ import annotations

from collections.abc import Mapping

from durably.declared import Declaration
from durably.errors import NonDeterminismError
from durably.model import Checkpoint, CheckpointKey


class History:
    """The checkpoints of one workflow as they were when it was claimed; a first run has none."""

    def __init__(self, workflow_id: str, recorded: Mapping[CheckpointKey, Checkpoint] | None = None) -> None:
        self._workflow_id = workflow_id
        self._recorded = recorded or {}

    def find(self, key: CheckpointKey, declaration: Declaration) -> Checkpoint | None:
        """The checkpoint at ``key``, or None; NonDeterminismError if another function was recorded there."""
        recorded = self._recorded.get(key)
        if recorded is None:
            return None
        if recorded.function_name != declaration.name and recorded.function_name not in declaration.aliases:
            raise NonDeterminismError(
                f"workflow {self._workflow_id!r} took another path than before: at function id {key} it now calls "
                f"{declaration.name!r}, but {recorded.function_name!r} is recorded there. A workflow must call its "
                "steps in the same order on every run: put what varies (time, randomness, reads) into steps; "
                "if a step was renamed, give it aliases=(old_name,)",
                workflow_id=self._workflow_id,
                function_id=key.function_id,
                recorded=recorded.function_name,
                called=declaration.name,
            )
        return recorded
