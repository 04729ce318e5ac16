import textwrap
from datetime import UTC, datetime

import pytest
import yaml

from penstock.api.schedule import ScheduleSpec
from penstock.cli.commands.schedule.preview import preview, select_schedule
from penstock.cli.main import main
from penstock.errors import CommandError

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
SCHEDULE = """
apiVersion: penstock.dev/v1alpha1
kind: Schedule
metadata: {name: nightly}
spec:
  cron: ["30 2 * * *"]
  timeZone: America/New_York
  runTemplate: {spec: {flow: {name: etl}}}
"""


def shown(count: int = 3, now: datetime = NOW, **spec) -> str:
    whole = ScheduleSpec.model_validate({"runTemplate": {"spec": {"flow": {"name": "etl"}}}, **spec})
    return "\n".join(line.plain for line in preview("nightly", whole, after=now, now=now, count=count))


def test_the_next_ticks_a_month_and_what_clocks_do_are_shown():
    assert shown(cron=["30 2 * * *"], timeZone="America/New_York") == textwrap.dedent(
        """\
        nightly: cron 30 2 * * *; time zone America/New_York

        LOCAL                         UTC                 FROM NOW
        Sat 2026-03-07 02:30  -05:00  2026-03-07 07:30Z   in 19h30m
        Sun 2026-03-08 03:00  -04:00  2026-03-08 07:00Z   in 43h00m  ! moved: 02:30 is skipped by the clock change
        Mon 2026-03-09 02:30  -04:00  2026-03-09 06:30Z   in 2d

        March 2026
        Mo    Tu    We    Th    Fr    Sa    Su
                                             1●
         2●    3●    4●    5●    6●    7●    8!●
         9●   10●   11●   12●   13●   14●   15●
        16●   17●   18●   19●   20●   21●   22●
        23●   24●   25●   26●   27●   28●   29●
        30●   31●
        ● ticks  ! clock change

        ! Sun 2026-03-08: clock change in America/New_York, forward by 1h00m, from 02:00 to 03:00
            02:30 does not exist: the tick is at 03:00"""
    )


@pytest.mark.parametrize(
    ("now", "spec", "want"),
    [
        (
            datetime(2026, 11, 1, tzinfo=UTC),
            {"cron": ["30 1 * * *"], "timeZone": "America/New_York"},
            "01:30 occurs twice: the first one is the tick",
        ),
        (
            datetime(2026, 11, 1, tzinfo=UTC),
            {"cron": ["30 * * * *"], "timeZone": "America/New_York"},
            "01:30 occurs twice: both are ticks",
        ),
        (NOW, {"cron": ["*/30 2 * * *"], "timeZone": "America/New_York"}, "02:30 does not exist: no tick"),
        (
            NOW,
            {"rrule": ["FREQ=DAILY;BYHOUR=2;BYMINUTE=15"], "timeZone": "America/New_York"},
            "02:15 does not exist: the tick is at 03:00",
        ),
        (
            datetime(2026, 10, 2, tzinfo=UTC),
            {"cron": ["15 2 * * *"], "timeZone": "Australia/Lord_Howe"},
            "forward by 30m00s, from 02:00 to 02:30\n    02:15 does not exist: the tick is at 02:30",
        ),
        (
            NOW,
            {"interval": {"every": "24h"}, "timeZone": "America/New_York"},
            "interval counts elapsed time: from then on its ticks are 1h00m later in local time",
        ),
        (NOW, {"at": ["2026-03-06T12:30:00Z"]}, "The Schedule has no more ticks after these."),
        (NOW, {"at": ["2026-03-06T11:30:00Z"]}, "The Schedule has no more ticks."),
        (
            NOW,
            {"events": [{"name": "it", "flowRun": {"flow": "a", "states": ["Failed"]}}]},
            "The Schedule has no ticks: only events create runs",
        ),
        (NOW, {"cron": ["@daily"]}, "time zone UTC (timeZone is not set)"),
        (NOW, {"cron": ["@daily"], "suspend": True}, "The Schedule is suspended"),
        (NOW, {"cron": ["* * * * *"]}, " 6●99+"),
    ],
)
def test_what_may_surprise_is_said(now, spec, want):
    assert want in shown(now=now, **spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"cron": ["30 2 * * *"], "timeZone": "Asia/Kolkata"},
        {"cron": ["30 4 * * *"], "timeZone": "America/New_York"},
        {"cron": ["30 2 1 * *"], "timeZone": "America/New_York", "endTime": "2026-03-09"},
    ],
)
def test_a_clock_change_that_affects_no_tick_is_not_mentioned(spec):
    assert "is set" not in shown(**spec)


def test_a_file_is_enough(tmp_path, capsys):
    path = tmp_path / "nightly.yaml"
    path.write_text(SCHEDULE)
    assert main(["schedule", "preview", "-f", str(path), "-t", "2", "--after", "2026-03-07"]) == 0
    out = capsys.readouterr().out
    assert "Sat 2026-03-07 02:30  -05:00" in out
    assert "Sun 2026-03-08 03:00  -04:00" in out


@pytest.mark.parametrize(
    ("edit", "words", "want"),
    [
        ({"cron": ["61 * * * *"]}, [], "Schedule nightly is invalid:\n  spec.cron[0]: the minute '61'"),
        ({"onMissed": {"within": "1s"}}, [], "spec.onMissed.within: must be at least 10s; got 1s"),
        ({}, ["-t", "0"], "--ticks 0: must be from 1"),
        ({}, ["--after", "yesterday"], "--after: 'yesterday' is not a valid date and time"),
        ({}, ["nigthly"], 'contains no Schedule named nigthly (did you mean "nightly"?)'),
    ],
)
def test_what_can_not_be_shown_says_why(tmp_path, capsys, edit, words, want):
    content = yaml.safe_load(SCHEDULE)
    content["spec"] |= edit
    path = tmp_path / "nightly.yaml"
    path.write_text(yaml.safe_dump(content))
    assert main(["schedule", "preview", "-f", str(path), *words]) == 1
    assert want in capsys.readouterr().err


def test_of_several_schedules_one_must_be_named():
    several = f"{SCHEDULE}\n---\n{SCHEDULE.replace('nightly', 'weekly')}"
    with pytest.raises(CommandError, match="several Schedules; name one of nightly, weekly"):
        select_schedule(several, file="f.yaml", name=None)
    assert select_schedule(several, file="f.yaml", name="weekly")["metadata"]["name"] == "weekly"
    with pytest.raises(CommandError, match=r"contains no Schedule$"):
        select_schedule("kind: Flow", file="f.yaml", name=None)


def test_nothing_named_is_asked_for(capsys):
    assert main(["schedule", "preview"]) == 1
    assert "name a Schedule, or give a file with -f FILE" in capsys.readouterr().err
