"""Secrets are known by their shape."""

from __future__ import annotations

import pytest

from mozart_nb.masking import masked

SECRETS = [
    "sk-ant-api03-" + "aB3_" * 10,
    "sk-proj-" + "a1B2" * 10,
    "ghp_" + "a1B2c3" * 6,
    "github_pat_" + "a1B2c3" * 6,
    "glpat-" + "a1B2c3" * 4,
    "xoxb-1234567890-abcdefghij",
    "AKIA" + "ABCD" * 4,
    "AIza" + "a" * 35,
    "hf_" + "aB3" * 11,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLWhlcmU",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:8])
@pytest.mark.parametrize("around", ["{}", "key={} and more", '"{}"', "https://user:{}@host", "Bearer {}"])
def test_a_secret_is_cut_short_wherever_it_stands(secret: str, around: str) -> None:
    shown = masked(around.format(secret))
    assert secret not in shown
    assert shown == around.format(f"{secret[:6]}…[masked]")


@pytest.mark.parametrize(
    "text",
    [
        "prompt_tokens: 1234, estimated_tokens: 99, author: ada",
        "risk-assessment-of-the-quarterly-report-for-the-board",
        "task-list-0123456789abcdef0123456789abcdef",
        "0e8dc9d7-029d-4cec-a96f-f61d2afffe8b",
        "/work/sk/ant/api.md",
        "the secret is out: password, token, credential",
    ],
)
def test_ordinary_words_stay_readable(text: str) -> None:
    assert masked(text) == text
