"""What a workflow did in its earlier life, and whether its replay follows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from durably.errors import NonDeterminismError
from durably.model import Checkpoint, CheckpointKey


class History:
    """The checkpoints of one workflow as they were when it was claimed; a first run has none."""

    def __init__(self, workflow_id: str, recorded: Mapping[CheckpointKey, Checkpoint] | None = None) -> None:
        self._workflow_id = workflow_id
        self._recorded = recorded or {}

    def find(self, key: CheckpointKey, name: str, aliases: Collection[str] = ()) -> Checkpoint | None:
        """The checkpoint at ``key``, or None; NonDeterminismError if another function was recorded there."""
        recorded = self._recorded.get(key)
        if recorded is None:
            return None
        if recorded.function_name != name and recorded.function_name not in aliases:
            raise NonDeterminismError(
                f"workflow {self._workflow_id!r} took another path than before: at function id {key} it now calls "
                f"{name!r}, but {recorded.function_name!r} is recorded there. A workflow must call its "
                "steps in the same order on every run: put what varies (time, randomness, reads) into steps; "
                "if a step was renamed, give it aliases=(old_name,)",
                workflow_id=self._workflow_id,
                function_id=key.function_id,
                recorded=recorded.function_name,
                called=name,
            )
        return recorded

    def name_at(self, key: CheckpointKey) -> str | None:
        """What was recorded at ``key``, if anything."""
        recorded = self._recorded.get(key)
        return recorded.function_name if recorded is not None else None

    def deadline(self, key: CheckpointKey) -> int | None:
        """When the wait at ``key`` is to end (milliseconds since the epoch), if an earlier life wrote that down."""
        recorded = self._recorded.get(key.deadline())
        return int(recorded.output) if recorded is not None and recorded.output is not None else None
