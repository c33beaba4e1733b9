"""Where the magics' settings come from, and what is said about those that make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config import Config
from traitlets.config.loader import DeferredConfigString

from mozart_nb.jupyter.magics.settings import NONINTERACTIVE, Settings, drop_bad_values, project_settings, trait_names


def project(folder: Path, text: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_setting_says_what_it_is_for() -> None:
    assert trait_names() == [
        "conductor",
        "dashboard",
        "loop",
        "max_concurrent",
        "notify",
        "rehearse",
        "self_healing",
        "strict",
        "tracebacks",
        "wait",
        "workspace",
    ]
    assert all(len(trait.help) > 20 for trait in Settings.class_traits(config=True).values())


@pytest.mark.parametrize(("value", "waits"), [("1", True), ("true", True), ("0", False), ("", False), ("no", False)])
def test_nobody_being_there_means_to_wait(value: str, waits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NONINTERACTIVE, value)
    assert Settings().waits is waits
    assert Settings(wait=True).waits


def test_the_nearest_pyproject_counts(tmp_path: Path) -> None:
    inner = tmp_path / "notebooks" / "old"
    inner.mkdir(parents=True)
    project(tmp_path, '[tool.mozart_nb.magics]\nloop = "thread"\nmax-concurrent = 7\n')
    assert project_settings(inner) == ({"loop": "thread", "max_concurrent": 7}, [])
    project(inner, "[project]\nname = 'x'\n")
    assert project_settings(inner) == ({}, [])


def test_what_makes_no_sense_in_a_pyproject_is_said_with_the_nearest_name(tmp_path: Path) -> None:
    file = project(
        tmp_path, '[tool.mozart_nb.magics]\nlop = "thread"\nwait = "yes"\nmax_concurrent = -1\nstrict = true'
    )
    found, said = project_settings(tmp_path)
    assert found == {"strict": True}
    assert said == [
        f"{file}, [tool.mozart_nb.magics] lop: there is no such setting; did you mean `loop`?; ignored",
        f"{file}, [tool.mozart_nb.magics] wait: true or false expected, not 'yes'; ignored",
        f"{file}, [tool.mozart_nb.magics] max_concurrent: a number from 0 expected, not -1; ignored",
    ]


@pytest.mark.parametrize(
    "text", ["[tool.mozart_nb.magics\n", "[tool]\nmozart_nb = 3\n", "[tool.mozart_nb]\nmagics=3\n"]
)
def test_a_pyproject_that_cannot_be_read_is_one_line(text: str, tmp_path: Path) -> None:
    file = project(tmp_path, text)
    found, [line] = project_settings(tmp_path)
    assert found == {}
    assert line.startswith(f"{file}: settings cannot be read: ")


def test_bad_values_are_taken_out_of_the_config_and_named() -> None:
    config = Config(MozartMagics=Config(loop="nowhere", wait=True, dashbord=False, max_concurrent=-2, xyzzy=1))
    said = drop_bad_values(config)
    assert dict(config.MozartMagics) == {"wait": True}
    assert said[0] == "%config MozartMagics.loop: one of `auto`, `kernel`, `thread` expected, not 'nowhere'; ignored"
    assert "did you mean `dashboard`?" in said[1]
    assert "a number from 0 expected, not -2" in said[2]
    assert "there are `conductor`, `dashboard`, `loop`," in said[3]


def test_values_of_a_command_line_are_read_as_what_they_stand_for() -> None:
    config = Config(MozartMagics=Config(wait=DeferredConfigString("true"), max_concurrent=DeferredConfigString("x")))
    [line] = drop_bad_values(config)
    assert "max_concurrent" in line
    assert list(config.MozartMagics) == ["wait"]


def test_a_config_without_a_word_about_us_is_left_alone() -> None:
    config = Config()
    assert drop_bad_values(config) == []
    assert config == Config()
