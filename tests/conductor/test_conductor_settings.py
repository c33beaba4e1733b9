"""`conductor.yaml`: read, checked with places, and understood where it is the earlier tool's."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.errors import ConfigError
from mozart_nb.hosts.conductor.settings import ConductorSettings, read_settings, settings_file, template


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "conductor.yaml"


def test_without_a_file_everything_is_as_usual(file: Path):
    assert read_settings(file).settings == ConductorSettings()


def test_an_empty_file_and_one_of_comments_say_nothing(file: Path):
    for text in ("", "\n  \n", "# nothing\n"):
        file.write_text(text)
        assert read_settings(file).settings == ConductorSettings()


def test_what_is_said_counts(file: Path):
    file.write_text("max_sessions: 3\nresume: ask\nshutdown_seconds: 7.5\n")
    settings = read_settings(file).settings
    assert (settings.max_sessions, settings.resume, settings.shutdown_seconds) == (3, "ask", 7.5)


def test_every_mistake_is_told_with_its_line_and_what_would_be_right(file: Path):
    file.write_text("max_sesions: 3\nresume: perhaps\npriority: 0\nmax_jobs: true\n")
    with pytest.raises(ConfigError) as caught:
        read_settings(file)
    problems = {problem.line: problem for problem in caught.value.problems}
    assert sorted(problems) == [1, 2, 3, 4]
    assert problems[1].nearest == "max_sessions"
    assert problems[2].allowed == "one of ask, auto, never"
    assert problems[3].allowed == "a whole number from 1 to 1000"


def test_what_is_no_yaml_is_told(file: Path):
    for text in ("max_sessions: [", "- 1\n", "\x00"):
        file.write_text(text)
        with pytest.raises(ConfigError):
            read_settings(file)


def test_settings_of_the_earlier_tool_are_understood_or_named(file: Path):
    file.write_text(
        "socket: {path: /run/me/mozart.sock, backlog: 5}\nmax_concurrent_jobs: 4\nmax_concurrent_sheets: 8\n"
        "shutdown_timeout_seconds: 300\nlog_level: INFO\njob_timeout_seconds: 3600\nobserver: {enabled: true}\n"
    )
    read = read_settings(file)
    settings = read.settings
    assert (settings.socket, settings.max_jobs, settings.max_sessions) == ("/run/me/mozart.sock", 4, 8)
    assert (settings.shutdown_seconds, settings.log_level) == (300, "info")
    assert [warning.partition("`")[2].partition("`")[0] for warning in read.warnings] == [
        "job_timeout_seconds",
        "observer",
    ]


def test_the_file_to_start_from_changes_nothing_and_is_right_once_its_marks_are_gone(file: Path):
    file.write_text(template())
    assert read_settings(file).settings == ConductorSettings()
    keys = [line.removeprefix("# ") for line in template().splitlines() if ": " in line and line.startswith("# ")]
    names = set(ConductorSettings.model_fields)
    file.write_text("\n".join(line for line in keys if line.partition(":")[0] in names))
    assert read_settings(file).settings == ConductorSettings()


def test_the_file_stands_where_the_users_configuration_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MOZART_NB_HOME", str(tmp_path))
    assert settings_file() == tmp_path / "conductor.yaml"
    monkeypatch.delenv("MOZART_NB_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert settings_file().name == "conductor.yaml"
    assert "mozart_nb" in settings_file().parts


@given(st.text(max_size=60))
def test_no_text_does_worse_than_being_refused(tmp_path_factory: pytest.TempPathFactory, text: str):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(ConfigError):
        read_settings(file)
