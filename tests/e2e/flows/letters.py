"""A flow whose results are too big for outputs, and one that decides by its data."""

from __future__ import annotations

from collections import Counter

from penstock import flow, task

CREDENTIALS = {"spec": {"containers": [{"name": "main", "envFrom": [{"secretRef": {"name": "object-store"}}]}]}}


@task
def write(count: int) -> list[str]:
    """Write texts, a megabyte in all if there are a thousand."""
    return [chr(ord("a") + number % 26) * 1000 for number in range(count)]


@task
def count_letters(text: str) -> Counter[str]:
    """Count the letters of one text."""
    return Counter(text)


@task
def add_up(counters: list[Counter[str]], texts: list[str]) -> dict[str, int]:
    """Add up what was counted, and check it."""
    total = sum(counters, Counter[str]())
    assert total == Counter("".join(texts))
    return dict(total)


@flow(pod_template=CREDENTIALS)
def letters(count: int = 3) -> dict[str, int]:
    """Count letters, a Pod for each text."""
    texts = write(count)
    return add_up(count_letters.map(texts), texts)


@task(retries=1)
def halve(number: int) -> int:
    """Halve a number."""
    return number // 2


@flow(run_as="pod")
def halvings(number: int = 100) -> int:
    """Count how often a number can be halved: how many tasks there are depends on it."""
    times = 0
    while number > 1:
        number = halve(number)
        times += 1
    return times
