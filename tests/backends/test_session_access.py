"""What is known of where a `claude` session sends its requests and as whom, in words that may be shown."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mozart_nb.backends._anthropic_failures import result_of_refusal
from mozart_nb.backends._claude_environment import access
from mozart_nb.backends._memory import memory_kills
from mozart_nb.backends._text import address_of


@pytest.mark.parametrize(
    ("environment", "own", "expected"),
    [
        ({}, {}, ("", "")),
        ({"ANTHROPIC_API_KEY": "k"}, {}, ("", "the key in ANTHROPIC_API_KEY")),
        ({"ANTHROPIC_API_KEY": "k"}, {"ANTHROPIC_API_KEY": "k"}, ("", "the key in ANTHROPIC_API_KEY of backend.env")),
        ({"CLAUDE_CODE_USE_BEDROCK": "1"}, {}, ("", "Bedrock")),
        ({"ANTHROPIC_BASE_URL": "https://u:p@gate/v1"}, {}, ("https://gate/v1 (ANTHROPIC_BASE_URL)", "")),
        (
            {"ANTHROPIC_BASE_URL": "https://gate"},
            {"ANTHROPIC_BASE_URL": "https://gate"},
            ("https://gate (ANTHROPIC_BASE_URL of backend.env)", ""),
        ),
        ({"https_proxy": "http://u:p@proxy"}, {}, ("through the proxy of https_proxy", "")),
    ],
)
def test_address_and_credential_are_named_by_their_variables(
    tmp_path: Path, environment: dict[str, str], own: dict[str, str], expected: tuple[str, str]
) -> None:
    assert access({"env": own}, {"HOME": str(tmp_path), **environment}) == expected


def test_a_saved_login_is_told_from_none(tmp_path: Path) -> None:
    (tmp_path / ".credentials.json").write_text("{}")
    assert access({}, {"CLAUDE_CONFIG_DIR": str(tmp_path)}) == ("", "the saved login of `claude`")


@pytest.mark.parametrize(
    "url", ["https://gate/v1", "gate:8080", "", "https://name:secret@gate/v1", "https://name:secret@gate/?to=http://x"]
)
def test_an_address_shows_no_password(url: str) -> None:
    assert address_of(url) == url.replace("name:secret@", "")


def test_what_the_kernel_killed_for_lack_of_memory_is_counted_where_it_says_so() -> None:
    kills = memory_kills()
    assert kills is None or kills >= 0


@pytest.mark.parametrize("piece", ["<", "<script ", "<style>x"])
def test_a_page_of_a_gateway_is_read_in_no_time(piece: str) -> None:
    began = time.process_time()
    result_of_refusal(502, piece.encode() * 4000, {}, "http://gate", wall=0.0)
    assert time.process_time() - began < 0.1
