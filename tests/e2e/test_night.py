"""examples/night.yaml on real Pods: twenty failures in one run look as docs/troubleshooting.md shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.kubectl import Kubectl

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
RUN = "night-1"
TASK = re.compile(r"  \S (\S+) +(\w+).*")
"""A line of `penstock describe` with the name and state of a task."""


def block(command: str) -> list[str]:
    """Return what the page shows of a command's output."""
    (found,) = re.findall(rf"^<!-- night: {command} -->\n```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    lines: list[str] = found.splitlines()
    return lines


def not_printed(shown: list[str], printed: str) -> list[str]:
    """Return the lines of the page that do not follow each other in an output; `...` stands for any text."""
    rest = iter(printed.splitlines())
    return [line for line in shown if not any(_pattern(line).fullmatch(" ".join(each.split())) for each in rest)]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in " ".join(line.split()).split("...")))


DESCRIBED = block("penstock describe night-1")
TASKS = {found[1]: found[2] for line in DESCRIBED if (found := TASK.fullmatch(line))}
"""The state of each task that the page shows."""


@pytest.fixture(scope="module")
def night(shared: Kubectl) -> Kubectl:
    """kubectl where each task of the run has reached the state that the page shows, and waits for its reason."""
    shared.run("apply", "-f", str(ROOT / "examples" / "night.yaml"))
    shared.penstock("run", "night", "--name", RUN)
    for task, state in TASKS.items():
        shared.reach(RUN, task, state)
        if state == "Pending":
            stated = f'jsonpath={{.status.tasks[?(@.name=="{task}")].reason}}'
            shared.wait(f"flowrun/{RUN}", stated, timeout_s=60)
    shared.wait(f"flowrun/{RUN}", "jsonpath={.status.progress}=13/20")
    waiting = f"{sum(state == 'Pending' for state in TASKS.values())} waiting: "
    watch = ("--watch", "--request-timeout=60s", "-o", 'jsonpath={.status.message}{"\\n"}')
    with shared.background("get", "flowrun", RUN, *watch) as messages:
        assert any(message.startswith(waiting) for message in messages)
    return shared


def test_the_page_shows_all_twenty_tasks(night: Kubectl):
    stored = {task["name"]: task["state"] for task in night.get("flowrun", RUN)["status"]["tasks"]}

    assert stored == TASKS
    assert len(stored) == 20


def test_get_counts_what_failed_and_what_waits(night: Kubectl):
    listed = night.run("get", "flowruns", RUN, "-o", "wide")

    assert not_printed(block("kubectl get flowruns night-1 -o wide"), listed) == [], listed
    assert re.search(rf"^{RUN} +night +Running +13/20 +12 +exit-code ", night.penstock("get", "run", RUN), re.MULTILINE)


def test_describe_says_why_each_task_failed_or_waits_and_what_to_do(night: Kubectl):
    described = night.penstock("describe", RUN)

    assert not_printed(DESCRIBED, described) == [], described
    reasons = {task["reason"] for task in night.get("flowrun", RUN)["status"]["tasks"]}
    advised = described.partition("What to do")[2]
    assert [reason for reason in sorted(reasons) if f"  {reason} (" not in advised] == []


def test_events_say_it_as_it_happens(night: Kubectl):
    left = block("kubectl get events")
    about = f"--field-selector=involvedObject.name={RUN}"
    # Events are written when nothing more urgent is.
    with night.background("get", "events", "--watch", about, "--request-timeout=60s") as printed:
        for event in printed:
            left = [line for line in left if not_printed([line], event)]
            if not left:
                break

    assert left == []
