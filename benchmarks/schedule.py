"""Who runs when: repetitions in which every tool has its turn, so that the machine's noise hits all alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def rounds(runs: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield the tools of each repetition, in an order that moves on by one each time.

    A tool with fewer runs than others takes part in repetitions spread evenly over all of them.

    >>> [" ".join(each) for each in rounds({"quick": 4, "slow": 2})]
    ['quick slow', 'quick', 'quick slow', 'quick']
    """
    names = list(runs)
    total = max(runs.values(), default=0)
    for number in range(total):
        turned = names[number % len(names) :] + names[: number % len(names)]
        yield [name for name in turned if _is_due(number, runs[name], total)]


def _is_due(number: int, wanted: int, total: int) -> bool:
    return (number * wanted) % total < wanted
