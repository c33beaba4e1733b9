"""Secrets are known by their shape, by the exact key beside them, or because somebody told."""

from __future__ import annotations

import html
import json
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest

from mozart_nb.events import JobNotice, without_secrets
from mozart_nb.masking import blotted, know, masked, masked_head, masked_tail

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
    "sk_live_" + "a1B2" * 6,
    "SG." + "aB3_" * 5 + "." + "aB3-" * 5,
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
        "api_key_env: ANTHROPIC_API_KEY, max_tokens: 8192, key: value",
        "password: must have 8 characters or more",
        "api_key = read_key1(path)",
        "basic authentication is used, and the bearer of it knows",
        "authorization: required by the Basic price_list_2024.csv",
        "e83c5163316f89bfbde7d9ab23ca2e25604af290 report-2024-11-key.md sk-learn-is-a-very-long-name-of-a-library.md",
        "https://example.com/search?page=2&sort=key&code=7",
        "git@github.com:org/repo.git http://user@host/ mailto:a@b.example",
    ],
)
def test_ordinary_words_stay_readable(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "secret", "left"),
    [
        ("Authorization: Bearer abcDEF-plain", "abcDEF-plain", "Authorization: Bearer …[masked]"),
        ('{"authorization": "Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz", '{"authorization": "Basic …[masked]"}'),
        (r"{\"Authorization\":\"tok12345\"}", "tok12345", r"{\"Authorization\":\"…[masked]\"}"),
        ("sent Bearer abcdef1234567890", "abcdef1234567890", "sent Bearer …[masked]"),
        ("x-api-key: zz99zz99zz", "zz99zz99zz", "x-api-key: …[masked]"),
        ("api_key='abcd1234efgh'", "abcd1234efgh", "api_key='…[masked]'"),
        ("AWS_SECRET_ACCESS_KEY=wJalr/XUtnFEMI7MDENG", "wJalr/XUtnFEMI7MDENG", "AWS_SECRET_ACCESS_KEY=…[masked]"),
        ("https://ada:hunter2@example.com/x", "hunter2", "https://ada:…[masked]@example.com/x"),
        ("postgres://ada:p@localhost/db", ":p@", "postgres://ada:…[masked]@localhost/db"),
        ("GET /v1?page=2&token=abc123&x=1", "abc123", "GET /v1?page=2&token=…[masked]&x=1"),
        ("https://maps.example/?key=abc12345", "abc12345", "https://maps.example/?key=…[masked]"),
        (
            "POST https://hooks.slack.com/services/T01/B02/XyZ123",
            "XyZ123",
            "POST https://hooks.slack.com/…[masked]",
        ),
        (
            "https://discord.com/api/webhooks/123456/abc-DEF_g",
            "abc-DEF_g",
            "https://discord.com/api/webhooks/…[masked]",
        ),
        (
            "https://acme.webhook.office.com/webhookb2/a1@b2/IncomingWebhook/c3/d4",
            "c3/d4",
            "https://acme.webhook.office.com/…[masked]",
        ),
    ],
)
def test_a_secret_without_a_shape_is_known_by_what_stands_before_it(text: str, secret: str, left: str) -> None:
    assert secret not in masked(text)
    assert masked(text) == left
    assert masked(left) == left


@pytest.mark.parametrize("before", [r"error:\n", r"a\t", r"\u003d", "q%3D", "\x1b[31m", r"\u001b[1m", r"\x1b[0m"])
@pytest.mark.parametrize(
    "secret", [SECRETS[0], "Bearer abcdef1234567890", "x-api-key: zz99zz99zz", "API_KEY=zz99zz99zz"]
)
def test_an_escape_before_a_secret_does_not_hide_it(before: str, secret: str) -> None:
    assert masked(before + secret) == before + masked(secret) != before + secret


@pytest.mark.parametrize(
    "text",
    [
        "X-API-KEY: zz99zz99zz",
        '"apiKey": "zz99zz99zz"',
        '{"accessToken":"zz99zz99zz"}',
        "clientSecret=zz99zz99zz",
        "aws_session_token=zz99zz99zz",
        "bearer_token: zz99zz99zz",
        "BEARER%20zz99zz99zz99",
        "Password=zz99zz99zz",
    ],
)
def test_a_name_beside_a_secret_is_known_in_every_spelling(text: str) -> None:
    assert "zz99" not in masked(text)
    assert "…[masked]" in masked(text)


@pytest.mark.parametrize("text", ["x Bearer abcdef1234567890 y", "https://a:b@c", f"one\n{SECRETS[-1]}\ntwo"])
def test_what_is_blotted_out_keeps_every_line_and_column(text: str) -> None:
    assert len(blotted(text)) == len(text)
    assert [len(line) for line in blotted(text).split("\n")] == [len(line) for line in text.split("\n")]
    assert blotted(text) != text


@pytest.mark.parametrize("secret", SECRETS[:-1], ids=lambda secret: secret[:8])
def test_a_secret_in_the_way_of_a_cut_leaves_no_half(secret: str) -> None:
    text = f"{'a ' * 300}{secret}{' b' * 300}"
    for cut in range(598, 602 + len(secret), 3):
        head, tail = masked_head(text, cut), masked_tail(text, len(text) - cut)
        assert len(head) <= cut
        assert len(tail) <= len(text) - cut
        assert not any(secret[n : n + 10] in head + tail for n in range(len(secret) - 9))
    assert masked_head("short", 10) == masked_tail("short", 10) == "short"
    assert (masked_head("longer", 3), masked_tail("longer", 3), masked_tail("longer", 0)) == ("lon", "ger", "")


@pytest.mark.parametrize(
    "secret", [*SECRETS, "Bearer abcdef1234567890", "api_key=abcd1234efgh"], ids=lambda one: one[:8]
)
@pytest.mark.parametrize("before", ["\n", "\t", "\r\n", "\x1b[31m", "\x08", "/"])
def test_an_event_holds_no_secret_whatever_stands_before_it(secret: str, before: str) -> None:
    told = without_secrets(JobNotice(message=f"it said{before}{secret}"))
    assert secret not in told.message
    assert "[masked]" in told.message


# --- known values -----------------------------------------------------------------------------------------------------

KEY = 'plain"key\\with & odd=signs'
ADDRESS = "https://notify.example/path-of-the-hook?id=a1b2c3d4e5"


@pytest.fixture
def known() -> Iterator[None]:
    forget = know([KEY, ADDRESS, "sunlight", "short"])
    yield
    forget()


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    "written",
    [
        KEY,
        json.dumps(KEY)[1:-1],
        quote(KEY),
        quote(KEY, safe=""),
        quote_plus(KEY),
        html.escape(KEY),
        "/path-of-the-hook?id=a1b2c3d4e5",
        "a1b2c3d4e5",
    ],
)
def test_a_known_value_is_blotted_out_in_every_form_in_which_it_may_stand(written: str) -> None:
    assert masked(f"before {written} after") == "before …[masked] after"
    assert written not in blotted(f"before {written} after")


@pytest.mark.usefixtures("known")
def test_of_a_known_address_the_host_is_still_told() -> None:
    assert masked(f"cannot reach {ADDRESS}: timeout") == "cannot reach https://notify.example/…[masked]: timeout"


@pytest.mark.usefixtures("known")
def test_short_values_are_whole_words_and_very_short_ones_no_secrets() -> None:
    assert masked("a sunlight, sunlights, short") == "a …[masked], sunlights, short"


def test_the_name_and_password_of_a_known_address_are_known_as_a_request_sends_them() -> None:
    forget = know(["https://ada:hunter%202@notify.example/x"])
    assert masked("header YWRhOmh1bnRlciAy sent") == "header …[masked] sent"
    forget()


@pytest.mark.usefixtures("known")
def test_a_short_value_at_the_beginning_of_a_line_is_known_within_json_too() -> None:
    assert masked(r"error:\nsunlight") == r"error:\n…[masked]"


def test_what_stands_for_no_password_spoils_no_text() -> None:
    forget = know(["postgres", "Changeme", "postgres://postgres:postgres@db.example/x"])
    assert masked("/srv/postgres/data, changeme") == "/srv/postgres/data, changeme"
    forget()


def test_what_is_known_to_two_jobs_stays_known_when_one_forgets_it() -> None:
    first, second = know(["correct horse"]), know(["correct horse", "battery staple"])
    second()
    assert masked("correct horse battery staple") == "…[masked] battery staple"
    first()
    assert masked("correct horse battery staple") == "correct horse battery staple"


def test_threads_may_tell_and_forget_secrets_while_others_mask() -> None:
    over, failures = threading.Event(), list[BaseException]()

    def mask() -> None:
        try:
            while not over.is_set():
                masked("correct horse battery staple")
        except BaseException as error:  # whatever it is, the test tells
            failures.append(error)

    def tell(number: int) -> None:
        for turn in range(30):
            know([f"secret of {number}", f"turn {number}.{turn}"])()

    others = [threading.Thread(target=mask), *(threading.Thread(target=tell, args=(n,)) for n in range(3))]
    for thread in others:
        thread.start()
    for thread in others[1:]:
        thread.join()
    over.set()
    others[0].join()
    assert failures == []
    assert masked("secret of 1, turn 2.29") == "secret of 1, turn 2.29"


def test_of_two_values_that_begin_alike_the_longer_one_goes_as_a_whole() -> None:
    forget = know(["abcdefgh1234567890", "abcdefgh1234567890-and-more"])
    assert masked("abcdefgh1234567890-and-more") == "…[masked]"
    forget()


@pytest.mark.parametrize(
    "piece",
    ["sk-", "eyJ-", "password=", "Bearer ", "api_key:", "://a:", "?token=", "SG.", "-----BEGIN ", "authorization:"],
)
def test_no_text_holds_the_masking_up(piece: str) -> None:
    began = time.perf_counter()
    masked(piece * (50_000 // len(piece)))
    assert time.perf_counter() - began < 2


def test_an_event_costs_some_microseconds() -> None:
    text = '{"kind":"batch.completed","batch":12,"message":"%s"}' % ("The report has 12 tokens & keys. " * 30)
    best = min(_seconds_of(text) for _ in range(5))
    assert best < 0.0005


def _seconds_of(text: str) -> float:
    began = time.perf_counter()
    for _ in range(20):
        masked(text)
    return (time.perf_counter() - began) / 20
