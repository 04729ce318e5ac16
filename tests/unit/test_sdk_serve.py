"""`serve`: which runs it starts when, by a clock that the tests hold; and as a real process."""

import asyncio
import json
import logging
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock import flow, run_deployment
from penstock.authoring.deployments.deployment import object_name
from penstock.errors import CommandError, OptionError, ResultError
from penstock.local.serving.requested import Requested
from penstock.local.serving.run_requests import RunRequests
from penstock.local.serving.served_state import ServedStateFile
from penstock.local.serving.server import STOP_GRACE, Served, Server
from tests.unit.test_sdk_processes import Script

NINE = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@flow
def etl(day: str = "", count: int = 1) -> None: ...


class Process:
    """A run that takes as long as the test says."""

    def __init__(self, world, name, parameters, takes):
        self.name = name
        self.parameters = parameters
        self.started = world.time
        self.sentinel = id(self)
        self.signals = []
        self.exit_code = None
        self._world = world
        self.ends_at = None if takes is None else world.time + takes

    def stop(self):
        self.signals.append("stop")
        if not self._world.is_stubborn:
            self.ends_at = self._world.time
            self._code = -signal.SIGTERM

    def take_state(self):
        return None

    def kill(self):
        self.signals.append("kill")
        self.ends_at = self._world.time
        self._code = -signal.SIGKILL

    _code = 0

    def look(self):
        if self.exit_code is None and self.ends_at is not None and self.ends_at <= self._world.time:
            self.exit_code = self._code
        return self.exit_code is not None


class World:
    """A clock that jumps to the next event, and sends a termination signal at the end of the test."""

    def __init__(self, *, until, takes=timedelta(0), is_stubborn=False, away=()):
        self.time = NINE
        self.signals = 0
        self.processes = []
        self.is_stubborn = is_stubborn
        self._until = until + timedelta(seconds=1)
        self._takes = takes
        self._away = list(away)
        """From when until when the machine sleeps."""

    def now(self):
        return self.time

    def launch(self, name, parameters):
        process = Process(self, name, parameters, self._takes)
        self.processes.append(process)
        return process

    def wait(self, sentinels, until):
        running = [process for process in self.processes if process.sentinel in sentinels]
        assert len(running) == len(sentinels)
        ends = [process.ends_at for process in running if process.ends_at is not None]
        self.time = max(self.time, min([until, *ends, *([] if self.signals else [self._until])]))
        for start, end in self._away:
            if start <= self.time < end:
                self.time = end
        for process in running:
            process.look()
        if self.time >= self._until and not self.signals:
            self.signals = 1

    def starts(self):
        return [f"{process.started:%H:%M}" for process in self.processes]

    def names(self):
        return [process.name for process in self.processes]


def served(world, *, is_kept=False, **keywords):
    deployment = etl.to_deployment(**keywords)
    bodies = deployment.schedules()
    return [
        Served(
            body,
            world.launch,
            limit=deployment.limit,
            file=ServedStateFile(f"{body['metadata']['name']}|here", body["spec"], is_kept=is_kept),
            now=world.time,
        )
        for body in bodies
    ]


def serve(world, *, limit=None, **keywords):
    found = served(world, **keywords)
    Server(found, world, limit=limit).serve()
    for each in found:
        each.close()
    return world


def in_minutes(count):
    return NINE + count * MINUTE


def test_a_run_starts_at_each_tick():
    world = serve(World(until=in_minutes(45)), cron="*/15 * * * *")
    assert world.starts() == ["09:15", "09:30", "09:45"]
    assert world.names()[0] == "etl-29926635"


def test_parameters_may_depend_on_the_tick():
    world = serve(
        World(until=in_minutes(1440)),
        cron="30 2 * * *",
        timezone="Asia/Tokyo",
        parameters={"day": "$(tick.previous.date)", "count": 3},
    )
    assert [process.parameters for process in world.processes] == [{"day": "2026-11-25", "count": 3}]


def test_runs_may_overlap_by_default():
    world = serve(World(until=in_minutes(3), takes=timedelta(hours=1)), cron="* * * * *")
    assert world.starts() == ["09:01", "09:02", "09:03"]


def test_with_skip_a_tick_is_skipped_while_a_run_is_active(caplog):
    caplog.set_level(logging.INFO, "penstock.serve")
    world = serve(World(until=in_minutes(6), takes=2.5 * MINUTE), cron="* * * * *", on_overlap="Skip")
    assert world.starts() == ["09:01", "09:04"]
    assert "the tick 2026-11-25 09:02 UTC did not get a run: RunAlreadyActive" in caplog.text


def test_with_queue_a_tick_waits_for_the_run_before_it():
    world = serve(World(until=in_minutes(4), takes=2.5 * MINUTE), cron="* * * * *", on_overlap="Queue")
    assert world.names() == ["etl-29926621", "etl-29926623"], "one waits, the latest"
    assert f"{world.processes[1].started:%H:%M:%S}" == "09:03:30"


def test_with_replace_the_run_before_is_stopped_first():
    world = serve(World(until=in_minutes(2), takes=timedelta(hours=1)), cron="* * * * *", on_overlap="Replace")
    assert world.starts() == ["09:01", "09:02"]
    assert world.processes[0].signals == ["stop"]


def test_a_run_that_does_not_stop_is_killed_and_then_replaced():
    world = World(until=in_minutes(2.9), takes=None, is_stubborn=True)
    serve(world, cron="* * * * *", on_overlap="Replace")
    assert world.processes[0].signals == ["stop", "kill"]
    assert timedelta(0) <= world.processes[1].started - (NINE + 2 * MINUTE + STOP_GRACE) < timedelta(seconds=1)


def test_the_limit_of_concurrent_runs_holds_and_the_latest_missed_tick_gets_a_run(caplog):
    world = serve(World(until=in_minutes(6), takes=2.5 * MINUTE), limit=1, cron="* * * * *")
    assert world.names() == ["etl-29926621", "etl-29926623", "etl-29926626"]
    assert "did not get a run: NotMadeUp" in caplog.text


def test_the_limit_of_a_deployment_is_its_own():
    world = World(until=in_minutes(3), takes=timedelta(hours=1))
    one = served(world, name="one", cron="* * * * *", limit=1)
    two = served(world, name="two", cron="* * * * *")
    Server([*one, *two], world, limit=3).serve()
    for each in (*one, *two):
        each.close()
    assert [name.split("-")[0] for name in world.names()] == ["one", "two", "two"]


@pytest.mark.parametrize(
    ("on_missed", "want"),
    [
        pytest.param("Skip", ["09:05", "09:25"], id="missed ticks get no run"),
        pytest.param("Latest", ["09:05", "09:22", "09:25"], id="the last one gets a run"),
        pytest.param("All", ["09:05", "09:22", "09:22", "09:22", "09:25"], id="each gets a run"),
        pytest.param({"policy": "All", "max": 2}, ["09:05", "09:22", "09:22", "09:25"], id="at most two get runs"),
    ],
)
def test_ticks_missed_while_the_machine_slept_follow_on_missed(on_missed, want):
    asleep = [(in_minutes(6), in_minutes(22))]
    world = serve(World(until=in_minutes(25), away=asleep), cron="*/5 * * * *", on_missed=on_missed)
    assert world.starts() == want


def test_ticks_missed_while_no_process_served_are_ignored():
    assert serve(World(until=in_minutes(1)), cron="* * * * *").starts() == ["09:01"]
    later = World(until=in_minutes(31))
    later.time = in_minutes(30.5)
    assert serve(later, cron="* * * * *").starts() == ["09:31"]


def test_ticks_missed_while_no_process_served_get_runs_if_state_is_stored():
    assert serve(World(until=in_minutes(1)), cron="* * * * *", is_kept=True).starts() == ["09:01"]
    later = World(until=in_minutes(31))
    later.time = in_minutes(30.5)
    assert serve(later, cron="* * * * *", is_kept=True).starts() == ["09:30", "09:31"]


def test_another_schedule_of_the_same_name_starts_again():
    serve(World(until=in_minutes(1)), cron="* * * * *", is_kept=True)
    later = World(until=in_minutes(30.9))
    later.time = in_minutes(30.5)
    assert serve(later, cron="*/2 * * * *", is_kept=True).starts() == []


def test_an_invalid_state_file_is_ignored(home):
    serve(World(until=in_minutes(1)), cron="* * * * *", is_kept=True)
    (file,) = (home / "served").glob("*.json")
    file.write_text("[]")
    assert serve(World(until=in_minutes(1)), cron="* * * * *", is_kept=True).starts() == ["09:01"]


def test_a_deployment_is_served_once():
    world = World(until=NINE)
    (first,) = served(world, cron="* * * * *")
    with pytest.raises(OptionError, match="'etl' is already served by another process"):
        served(world, cron="* * * * *")
    first.close()
    served(world, cron="* * * * *")[0].close()


def test_it_ends_when_nothing_is_due_ever_again():
    world = serve(World(until=in_minutes(10_000)), rrule="DTSTART:20261125T100000Z\nRRULE:FREQ=DAILY;COUNT=2")
    assert world.starts() == ["10:00", "10:00"]
    assert world.signals == 0


def test_runs_end_with_it():
    world = serve(World(until=in_minutes(2), takes=timedelta(hours=1)), cron="* * * * *")
    assert [process.signals for process in world.processes] == [["stop"], ["stop"]]


def test_runs_that_do_not_end_with_it_are_killed():
    world = serve(World(until=in_minutes(1.5), takes=None, is_stubborn=True), cron="* * * * *")
    assert world.processes[0].signals == ["stop", "kill"]
    assert world.time == in_minutes(1.5) + timedelta(seconds=1) + STOP_GRACE


# As a process


@pytest.fixture
def script(tmp_path, home):
    return Script(tmp_path, home)


SERVES = """
    import time
    from penstock import flow, task

    @task
    def double(x: int) -> int:
        return 2 * x

    @flow(log_prints=True)
    def etl(day: str, seconds: float = 0) -> None:
        print("doubled", double.submit(21).result(), "of", day, flush=True)
        time.sleep(seconds)

    if __name__ == "__main__":
        etl.serve(cron="0 0 1 1 *", parameters={"day": "$(tick.date)", "seconds": SECONDS}, pause_on_shutdown=False)
"""


def line_with(process, text):
    seen = []
    for line in process.stderr:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"no line with {text!r}: {''.join(seen)}")


def make_a_tick_missed(home):
    """Set the last decision to two years ago, as if no process had served since."""
    (file,) = (home / "served").glob("*.json")
    facts = json.loads(file.read_text())
    file.write_text(json.dumps({**facts, "decided": "2024-06-01T00:00:00+00:00"}))


def started(script, home, seconds=0):
    """The script as it serves, and has started the run of a tick that was missed."""
    script.write(SERVES.replace("SECONDS", str(seconds)))
    with script.start() as process:
        line_with(process, "Serving etl, next run ")
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    make_a_tick_missed(home)
    return script.start()


def test_a_served_flow_runs_in_a_process_of_its_own(script, home):
    with started(script, home) as process:
        line_with(process, "started, scheduled for 2026-01-01 00:00 UTC")
        assert "doubled 42 of 2026-01-01" in line_with(process, "doubled")
        line_with(process, "penstock.serve | etl-29453760: completed")
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_its_runs(script, home, number):
    with started(script, home, seconds=600) as process:
        line_with(process, "doubled")
        process.send_signal(number)
        line_with(process, "Shutting down: stopping 1 run")
        line_with(process, "Crashed: Flow run was ended by TerminatedError: signal SIGTERM")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("etl.serve(cron='@daily')", "parameter 'day' has no value", id="a parameter without a value"),
        pytest.param("etl.serve(cron='61 * * * *', parameters={'day': 1})", "spec.cron[0]: ", id="no such time"),
        pytest.param(
            "etl.with_options(name='x').serve(cron='@daily', parameters={'day': 1})",
            "cannot be imported by another process",
            id="a flow without a name",
        ),
        pytest.param(
            "serve(etl.to_deployment(cron='@daily', parameters={'day': 1}),"
            " etl.to_deployment(cron='@hourly', parameters={'day': 1}))",
            "two deployments have the name 'etl'",
            id="two of a name",
        ),
        pytest.param("serve()", "needs at least one deployment", id="nothing"),
    ],
)
def test_what_can_not_be_served_is_refused_at_once(script, text, message):
    script.write(
        f"""
        from penstock import flow, serve

        @flow
        def etl(day: str) -> None: ...

        {text}
        """
    )
    exit_code, _, stderr = script.run()
    assert exit_code == 1
    assert message in stderr.splitlines()[-1]


def test_serving_at_import_is_refused_with_what_to_do(script, home):
    with started(script, home) as process:
        line_with(process, "completed")
        process.send_signal(signal.SIGTERM)
    script.path.write_text(script.path.read_text().replace('if __name__ == "__main__":', "if True:"))
    make_a_tick_missed(home)
    with script.start() as process:
        line_with(process, 'call it below `if __name__ == "__main__":`')
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


class Request:
    """A request for a run, and its answers."""

    def __init__(self, *, name=None, key=None, scheduled_time=None, **parameters):
        self.parameters = parameters
        self.name, self.key, self.scheduled_time = name, key, scheduled_time
        self.answers = []

    def answer(self, **facts):
        self.answers.append(facts)

    def close(self):
        self.answers.append("closed")


class MailedWorld(World):
    """A world in which requests are taken whenever something else happens."""

    def wait(self, sentinels, until):
        super().wait([each for each in sentinels if each != NO_HANDLE], until)


NO_HANDLE = -1


class Mail:
    """Requests that arrive at given times."""

    def __init__(self, world, arrivals):
        self._world = world
        self._arrivals = arrivals

    def fileno(self):
        return NO_HANDLE

    def take_requests(self):
        due = [each for at, each in self._arrivals if at <= self._world.time]
        self._arrivals = [(at, each) for at, each in self._arrivals if at > self._world.time]
        return due


def test_runs_that_are_requested_start_as_slots_are_free_and_their_senders_are_notified():
    world = MailedWorld(until=NINE + 2 * MINUTE, takes=timedelta(seconds=30))
    first, second = Request(day="a"), Request(day="b")
    mail = Mail(world, [(NINE, first), (NINE, second)])

    def launch(name, request):
        return world.launch(name, request.parameters)

    Server([], world, requested=[Requested("etl", mail, launch, limit=1)]).serve()
    assert [(each.name, each.parameters, each.started - NINE) for each in world.processes] == [
        ("etl-1", {"day": "a"}, timedelta(0)),
        ("etl-2", {"day": "b"}, timedelta(seconds=30)),
    ]
    assert first.answers == [{"run": "etl-1"}, {"code": 0, "state": None}, "closed"]
    assert second.answers == [
        {"run": "etl-2", "waits": True},
        {"started": True},
        {"code": 0, "state": None},
        "closed",
    ]


def test_requests_with_one_key_get_one_run_which_starts_no_sooner_than_it_may():
    world = MailedWorld(until=NINE + 3 * MINUTE, takes=timedelta(seconds=30))
    first = Request(key="k", name="mine", scheduled_time=NINE + MINUTE)
    joined, late = Request(key="k"), Request(key="k")
    mail = Mail(world, [(NINE, first), (NINE, joined), (NINE + MINUTE, late)])

    def launch(name, request):
        return world.launch(name, request.parameters)

    Server([], world, requested=[Requested("etl", mail, launch, limit=None)]).serve()
    assert [(each.name, each.started - NINE) for each in world.processes] == [("mine", MINUTE)]
    ending = [{"started": True}, {"code": 0, "state": None}, "closed"]
    assert first.answers == joined.answers == late.answers == [{"run": "mine", "waits": True}, *ending]


def test_a_request_that_can_not_be_met_is_answered_and_the_others_are_served():
    world = MailedWorld(until=NINE + MINUTE)

    def launch(name, request):
        etl.bind((), request.parameters)
        return world.launch(name, request.parameters)

    wrong, right = Request(dya="a"), Request(day="b")
    Server(
        [], world, requested=[Requested("etl", Mail(world, [(NINE, wrong), (NINE, right)]), launch, limit=None)]
    ).serve()
    [refused, closed] = wrong.answers
    assert "etl-1 could not be started: invalid arguments for 'etl'" in refused["error"]
    assert closed == "closed"
    assert right.answers[1:] == [{"code": 0, "state": None}, "closed"]


async def awaited(name):
    return await run_deployment(name)  # type: ignore[misc]  # awaited, it is a coroutine


def test_a_flow_without_a_schedule_waits_for_runs_that_are_requested(script, home, monkeypatch):
    script.write(
        """
        import threading

        from penstock import flow, runtime

        @flow(log_prints=True)
        def hello(name: str = "world", fails: bool = False, what: str = ""):
            print("hello", name, *sorted(runtime.flow_run.tags))
            if fails:
                raise ValueError("no")
            return threading.Lock() if what == "lock" else ["x" * 200_000, name]

        if __name__ == "__main__":
            hello.serve(name="my_deployment", parameters={"name": "served"}, tags=["ours"])
        """
    )
    monkeypatch.setenv("PENSTOCK_HOME", str(home))
    with script.start() as process:
        line_with(process, "Waiting for runs that are requested: run_deployment('my_deployment')")
        run = run_deployment("hello/my_deployment", {"name": "you"}, tags=["yours"])
        assert (run.name, run.state.name) == ("my_deployment-1", "Completed")
        line_with(process, "hello you ours yours")
        assert run.state.result() == ["x" * 200_000, "you"]
        failed = run_deployment("my_deployment", {"fails": True}).state
        assert (failed.name, failed.message) == ("Failed", "Flow run encountered an exception: ValueError: no")
        with pytest.raises(ValueError, match="no"):
            failed.result()
        locked = run_deployment("my_deployment", {"what": "lock"}).state
        assert locked.is_completed()
        with pytest.raises(ResultError, match="what the run returned or raised cannot be pickled: TypeError"):
            locked.result()
        assert asyncio.run(awaited("my_deployment")).state.name == "Completed"
        line_with(process, "hello served")
        assert run_deployment("my_deployment", timeout=0).state.name == "Running"
        options: dict[str, Any] = {"flow_run_name": "{mine}", "idempotency_key": "k", "timeout": 30}
        named = [run_deployment("my_deployment", {"name": "named"}, **options) for _ in range(2)]
        assert [(each.name, each.state.name) for each in named] == [("{mine}", "Completed")] * 2
        soon = datetime.now(UTC) + timedelta(milliseconds=200)
        later = run_deployment("my_deployment", {"name": "later"}, scheduled_time=soon, timeout=0)
        assert later.state.name == "Scheduled"
        line_with(process, "hello later")
        with pytest.raises(CommandError, match="got an unexpected keyword argument 'nam'"):
            run_deployment("my_deployment", {"nam": 1})
        with pytest.raises(CommandError, match="kubeconfig"):
            run_deployment("my_deployment", kubeconfig=str(home / "nowhere"))
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def test_a_name_that_kubernetes_does_not_allow_can_be_served():
    body = etl.to_deployment("My flow/nightly_1", cron="@daily").schedules()[0]
    assert object_name(body["metadata"]["name"]) == "my-flow-nightly-1"


def test_one_name_is_served_by_one_process(home):
    first = RunRequests("etl")
    with pytest.raises(OptionError, match="another process serves a deployment with the name 'etl'"):
        RunRequests("etl")
    first.close()
    RunRequests("etl").close()
