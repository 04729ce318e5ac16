from __future__ import annotations

import io
import json
import logging
import re

import pytest

from penstock_operator.log import LogFormat, set_up_logging


@pytest.fixture(autouse=True)
def restored():
    """Leave logging as it was."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in ("kopf.objects", "kubernetes", "asyncio"))]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    logging.captureWarnings(capture=False)
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def lines_of(level: str, log_format: LogFormat, speak) -> list[str]:
    stream = io.StringIO()
    set_up_logging(level, log_format, stream=stream)
    speak()
    return stream.getvalue().splitlines()


def test_json_has_one_object_a_line_with_what_came_as_extra():
    def speak() -> None:
        logging.getLogger("penstock_operator.runs.controller").info(
            "Run %s:\n started", "a", extra={"run": "ns/a", "attempt": 2}
        )

    (line,) = lines_of("info", LogFormat.JSON, speak)
    record = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("time"))
    assert record == {
        "level": "info",
        "logger": "penstock_operator.runs.controller",
        "message": "Run a:\n started",
        "run": "ns/a",
        "attempt": 2,
    }


def test_json_keeps_an_exception_in_its_line():
    def speak() -> None:
        try:
            int("bad")
        except ValueError:
            logging.getLogger("x").exception("It broke")

    (line,) = lines_of("info", LogFormat.JSON, speak)
    assert "ValueError: invalid literal" in json.loads(line)["error"]


def test_text_is_for_people():
    (line,) = lines_of("info", LogFormat.TEXT, lambda: logging.getLogger("x").warning("Careful"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING x: Careful", line)


CONTROLS = "a\nb\rc\x1b[2Jd\x07e\x9b31mf\u2028g\x7fh\x00i"


@pytest.mark.parametrize("log_format", LogFormat)
def test_no_text_in_a_message_begins_a_line_or_reaches_a_terminal_as_a_command(log_format):
    def speak() -> None:
        logging.getLogger("x").warning("Schedule %s is invalid", CONTROLS)

    (line,) = lines_of("info", log_format, speak)
    assert line.isprintable()
    if log_format is LogFormat.TEXT:
        assert line.endswith(r"Schedule a\nb\rc\x1b[2Jd\x07e\x9b31mf\u2028g\x7fh\x00i is invalid")
    else:
        assert json.loads(line)["message"] == f"Schedule {CONTROLS} is invalid"


def test_no_text_in_a_traceback_looks_like_a_line_of_the_log():
    def fail() -> None:
        raise ValueError("\n2026-11-29T00:00:00.000Z ERROR   penstock: forged \x1b[2J")

    def speak() -> None:
        try:
            fail()
        except ValueError:
            logging.getLogger("x").exception("It broke")

    first, *others = lines_of("info", LogFormat.TEXT, speak)
    assert first.endswith("It broke")
    assert all(line.startswith("    ") and line.isprintable() for line in others)
    assert any("forged" in line for line in others)


def test_the_level_holds_and_kopf_is_quieter():
    def speak() -> None:
        logging.getLogger("x").debug("hidden")
        logging.getLogger("kopf.objects").info("hidden")
        logging.getLogger("kopf.objects").warning("shown")

    assert [line.split(": ")[1] for line in lines_of("info", LogFormat.TEXT, speak)] == ["shown"]
    assert len(lines_of("error", LogFormat.TEXT, speak)) == 0
