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
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert told == {
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


def test_the_level_holds_and_kopf_is_quieter():
    def speak() -> None:
        logging.getLogger("x").debug("hidden")
        logging.getLogger("kopf.objects").info("hidden")
        logging.getLogger("kopf.objects").warning("shown")

    assert [line.split(": ")[1] for line in lines_of("info", LogFormat.TEXT, speak)] == ["shown"]
    assert len(lines_of("error", LogFormat.TEXT, speak)) == 0
