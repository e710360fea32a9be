"""Makes entries dead letters, and counts what became of entries that were not stored."""

from collections.abc import Sequence

from feature_sync.events.dead_letters import DeadLetters
from feature_sync.events.entries import DeadLetter
from feature_sync.events.findings import DROPPED, UNREADABLE, EventFindings
from feature_sync.events.stream import ConsumerGroup
from feature_sync.events.suspects import Stage
from feature_sync.metrics import Metrics


class Rejection:
    """Shared by all groups of a worker: an entry that two groups reject is one dead letter."""

    def __init__(self, dead_letters: DeadLetters, metrics: Metrics, findings: EventFindings | None = None) -> None:
        self.findings = EventFindings() if findings is None else findings
        self._dead_letters = dead_letters
        self._metrics = metrics

    async def reject(self, group: ConsumerGroup, letters: Sequence[DeadLetter]) -> None:
        """Make entries dead letters, each once: first added there, then acknowledged."""
        if not letters:
            return
        added = await self._dead_letters.add(letters)
        await group.done([letter.id for letter in letters])
        if added.new:
            self._metrics.events.labels("rejected").inc(added.new)
            self.findings.found(UNREADABLE, letters[0].reason, added.new)
        if added.pushed_out:
            self._metrics.dead_letters_dropped.inc(added.pushed_out)
            self.findings.found(
                DROPPED, f"{added.pushed_out} dead letters were dropped for newer ones", added.pushed_out
            )

    def note_deleted(self, count: int) -> None:
        """Count entries that were deleted before they were processed."""
        self._metrics.events.labels("deleted").inc(count)

    def note_suspects(self, stage: Stage, count: int) -> None:
        """Show how many entries of a group failed alone and are tried again."""
        self._metrics.suspects.labels(stage).set(count)
