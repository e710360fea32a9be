"""Finds the items of a batch that cannot be processed by halving the batch; all others are processed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")

# After this many single failures without a success, the callback decides whether the store is at fault.
MAX_UNDECIDED = 16


class Fault(Enum):
    """The origin of an error."""

    IN_STORE = "the store accepts nothing now: the items may be good"
    IN_DATA = "the item itself can never be processed"
    UNDECIDED = "undecided: the item is at fault if the store accepts others"


@dataclass
class Isolated(Generic[T]):
    """The result of a batch: the processed items, and those that failed alone, each with its error."""

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

    `takes_others` decides about an undecided error; its argument is whether other items of the batch were processed. An
    error of the store is raised: then the result of unprocessed items is unknown, and processed ones may be processed
    again.
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
