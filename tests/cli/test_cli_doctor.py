"""`doctor`: what is here of everything that jobs and notebooks need."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from support.commands import mozart


def fake_claude(folder: Path, version: str) -> None:
    folder.mkdir()
    program = folder / "claude"
    program.write_text(f'#!/bin/sh\n[ "$*" = --version ] && echo "{version} (Claude Code)" && exit 0\nexit 9\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def doctor(*args: str) -> tuple[int, dict[str, dict[str, str]]]:
    ended = mozart("doctor", "--json", *args)
    return ended.exit_code, {check["name"]: check for check in ended.document["checks"]}


def test_doctor_asks_the_program_for_nothing_but_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_claude(tmp_path / "bin", "2.1.197")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")
    code, checks = doctor()
    assert code == 0
    assert checks["claude"]["status"] == "ok"
    assert checks["login"]["detail"] == "ANTHROPIC_API_KEY"
    assert "sk-ant-dummy" not in json.dumps(checks)


def test_doctor_warns_of_another_version_and_of_a_missing_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_claude(tmp_path / "bin", "9.9.9")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    code, checks = doctor()
    assert code == 0
    assert checks["claude"]["status"] == "warning"
    assert "2.1.197" in checks["claude"]["hint"]
    assert checks["login"]["status"] == "warning"


def test_doctor_fails_when_there_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, checks = doctor()
    assert code == 1
    assert checks["claude"]["status"] == "error"
    ended = mozart("doctor")
    assert "E503" in ended.stdout
    assert "rehearsals work without it" in ended.stdout


def test_doctor_knows_the_parts_of_a_notebook_and_whether_the_pages_are_enabled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path / "etc"))
    _, checks = doctor()
    assert checks["notebooks"]["status"] == "ok"
    assert "ipykernel 7" in checks["notebooks"]["detail"]
    enabled = tmp_path / "etc" / "jupyter_server_config.d" / "mozart_nb.json"
    enabled.parent.mkdir(parents=True)
    enabled.write_text('{"ServerApp": {"jpserver_extensions": {"mozart_nb": true}}}')
    _, checks = doctor()
    assert checks["pages"]["status"] == "ok"
    assert str(enabled) in checks["pages"]["detail"]


def test_doctor_says_what_is_without_git_and_without_a_conductor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    _, checks = doctor()
    assert checks["git"]["status"] == "warning"
    assert "isolation" in checks["git"]["hint"]
    assert "does not run" in checks["conductor"]["detail"]
