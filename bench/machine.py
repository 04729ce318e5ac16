"""CPU time of the machine alone: what deciding costs for each task and each event, and how that grows.

    .venv/bin/python bench/machine.py [--rounds 5] [--json FILE]

Every Pod is reported three times (created, running, finished); the status is flushed after each twentieth step, as
JSON. Decoding, the network and the API server are not part of it. Read the exponent: 1.0 means that a graph of twice as
many tasks costs twice as much. Absolute numbers depend on the machine; the median of the rounds is shown.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from penstock.api.flow import FlowSpec
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.keys import RunIdentity
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.facts import AttemptSeen, Cause, Outcome
from penstock.engine.machine.machine import Machine

RUN = RunIdentity("default", "bench", "5f0c8e7e-bench")
FLUSH_EVERY = 20
EVENTS_PER_POD = 3

Spec = dict[str, Any]


class Measurement(NamedTuple):
    """What one run of one shape took."""

    tasks: int
    events: int
    compile_s: float
    cpu_s: float


def chain(length: int) -> Spec:
    """Tasks one after the other."""
    return {"tasks": [{"name": f"t{n}", **({"dependsOn": [f"t{n - 1}"]} if n else {})} for n in range(length)]}


def fan_out(width: int) -> Spec:
    """One task with many items."""
    return {"tasks": [{"name": "each", "forEach": {"count": width}, "args": ["$(index)"]}]}


def lattice(tasks: int) -> Spec:
    """Layers of 20, each task with two parents in the layer before."""
    width = 20
    return {
        "tasks": [
            {
                "name": f"t{n}",
                **(
                    {"dependsOn": [f"t{n - width}", f"t{n - width - n % width + (n + 1) % width}"]}
                    if n >= width
                    else {}
                ),
            }
            for n in range(tasks)
        ]
    }


def graph(tasks: int) -> Spec:
    """Tasks with up to four random parents each."""
    rng = random.Random(7)
    return {
        "tasks": [
            {
                "name": f"t{n}",
                "dependsOn": sorted({f"t{rng.randrange(n)}" for _ in range(rng.randint(0, 4))} if n else ()),
            }
            for n in range(tasks)
        ]
    }


SHAPES: dict[str, tuple[Callable[[int], Spec], tuple[int, ...]]] = {
    "chain": (chain, (50, 500, 2000)),
    "fan-out": (fan_out, (100, 1000, 10000)),
    "lattice": (lattice, (200, 2000, 5000)),
    "random graph": (graph, (500, 2000, 5000)),
}


def lives(create: CreateAttempt, now: float) -> Iterator[AttemptSeen]:
    """Yield what a Pod shows of itself in its life."""
    name = f"pod-{create.key.task}-{create.key.item}"
    seen = AttemptSeen(create.key, create.attempt, 0, 0, name, f"uid-{name}", now)
    yield seen
    yield seen._replace(started_at=now, node="node-1")
    yield seen._replace(
        node="node-1", started_at=now, is_finished=True, outcome=Outcome(Cause.SUCCESS, now, outputs={})
    )


def measure(spec: Spec) -> Measurement:
    """Run a Flow to its end."""
    model = FlowSpec.model_validate({"defaults": {"image": "busybox"}, **spec})
    before = time.process_time()
    plan = compile_plan(model)
    compile_s = time.process_time() - before
    now, spent, events, steps = 1_000_000.0, 0.0, 0, 0
    machine = Machine(plan, RUN, {}, now=now)
    waiting: deque[Iterator[AttemptSeen]] = deque()
    pods = 0
    while not machine.is_finished:
        facts = []
        for _ in range(min(len(waiting), 32)):
            life = waiting.popleft()
            fact = next(life, None)
            if fact is not None:
                facts.append(fact)
                waiting.append(life)
        now += 0.01
        before = time.process_time()
        for fact in facts:
            machine.observe(fact, now)
        step = machine.advance(now)
        steps += 1
        if steps % FLUSH_EVERY == 0 or machine.is_finished:
            changes = machine.take_changes()
            json.dumps(changes.status or changes.operations)
            machine.mark_stored(changes.version)
        spent += time.process_time() - before
        events += len(facts)
        pods += len(step.creates)
        waiting.extend(lives(create, now) for create in step.creates)
        if not facts and not step.creates and not machine.is_finished:
            # Held by outcomes that are not stored: the next flush frees it.
            changes = machine.take_changes()
            machine.mark_stored(changes.version)
    return Measurement(pods, events, compile_s, spent)


def main() -> None:
    """Measure every shape and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each shape is run")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(f"{'shape':<14}{'tasks':>8}{'us a task':>12}{'us an event':>13}{'compile ms':>12}{'exponent':>10}")
    for shape, (make, sizes) in SHAPES.items():
        first: tuple[int, float] | None = None
        for size in sizes:
            found = [measure(make(size)) for _ in range(options.rounds)]
            cpu_s = statistics.median(one.cpu_s for one in found)
            compile_s = statistics.median(one.compile_s for one in found)
            tasks, events = found[0].tasks, found[0].events
            exponent = None if first is None else math.log(cpu_s / first[1]) / math.log(tasks / first[0])
            first = first or (tasks, cpu_s)
            rows.append(
                {
                    "shape": shape,
                    "tasks": tasks,
                    "events": events,
                    "task_us": cpu_s / tasks * 1e6,
                    "event_us": cpu_s / events * 1e6,
                    "compile_ms": compile_s * 1e3,
                    "exponent": exponent,
                }
            )
            print(
                f"{shape:<14}{tasks:>8}{cpu_s / tasks * 1e6:>12.1f}{cpu_s / events * 1e6:>13.1f}"
                f"{compile_s * 1e3:>12.1f}{'' if exponent is None else f'{exponent:.2f}':>10}"
            )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
