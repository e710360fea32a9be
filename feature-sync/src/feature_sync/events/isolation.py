"""Finds the items of a batch that cannot be processed by halving it; all others are processed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")

# When so many have failed alone and nothing was processed, it is time to ask whose fault it is.
MAX_UNDECIDED = 16


class Fault(Enum):
    """Where an error lies."""

    IN_STORE = "the store takes nothing now: nothing is known about the items"
    IN_DATA = "the item itself can never be processed"
    UNDECIDED = "one or the other: it lies in the item if the store takes others"


@dataclass
class Isolated(Generic[T]):
    """What became of a batch: the items that were processed, and those that failed alone, each with its error."""

    done: list[T] = field(default_factory=list)
    failed: list[tuple[T, Exception]] = field(default_factory=list)


async def isolate(
    items: Sequence[T],
    work: Callable[[Sequence[T]], Awaitable[object]],
    *,
    fault_of: Callable[[Exception], Fault],
    takes_others: Callable[[Exception, bool], Awaitable[bool]],
) -> Isolated[T]:
    """Call `work` with all items, and with halves of what fails, down to single items.

    `takes_others` is asked about an undecided error; it is told whether other items of the batch were processed.
    Raises the error when it is the store's: then nothing is known about what was not processed. What was may be
    processed again.
    """
    result: Isolated[T] = Isolated()
    undecided = 0
    waiting: list[Sequence[T]] = [items] if items else []
    while waiting:
        part = waiting.pop()
        try:
            await work(part)
        except Exception as error:
            fault = fault_of(error)
            if fault is Fault.IN_STORE:
                raise
            if len(part) > 1:
                half = len(part) // 2
                waiting += [part[half:], part[:half]]
                continue
            result.failed.append((part[0], error))
            undecided += fault is Fault.UNDECIDED
            must_ask = not waiting or (undecided == MAX_UNDECIDED and not result.done)
            if undecided and must_ask and not await takes_others(error, bool(result.done)):
                raise
        else:
            result.done += part
            if undecided and not waiting and not await takes_others(result.failed[-1][1], True):
                raise result.failed[-1][1]
    return result
