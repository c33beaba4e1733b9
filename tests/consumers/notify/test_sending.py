"""One try on one channel: what is sent, and what each way of failing means."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.notifying import channel, message
from support.receiver import Receiver, status

from mozart_nb.consumers.notify.messages import Message
from mozart_nb.consumers.notify.sending import Answer, Sender, has_desktop
from mozart_nb.consumers.notify.texts import worded
from mozart_nb.job.notifications import KEPT_OUT, TEXT_VARIABLES, NotificationConfig


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().in_thread() as server:
        yield server


async def send(one: NotificationConfig, said: Message | None = None, **environ: str) -> Answer:
    sender = Sender(one, environ)
    try:
        return await sender.send(said or message(1, type_=one.type))
    finally:
        await sender.close()


def facts(**changed: Any) -> dict[str, Any]:
    return {**message(1).facts, **changed}


async def test_a_webhook_gets_the_facts_the_text_and_the_id(receiver: Receiver) -> None:
    said = message(3)
    assert await send(channel(url=receiver.url), said) == Answer("delivered", http_status=200)
    [got] = receiver.got
    assert got.headers["content-type"] == "application/json"
    assert got.id == got.document["id"] == said.id
    assert got.document.items() >= said.facts.items()
    assert set(TEXT_VARIABLES) <= set(got.document)
    assert got.document["title"] == "Trial job: completed"
    assert got.document["metadata"]["source"] == "mozart_nb"


async def test_metadata_can_be_left_out_and_settings_may_stand_in_config(receiver: Receiver) -> None:
    one = channel(
        config={"url": receiver.url, "include_metadata": False, "headers": {"X-A": "1"}}, headers={"X-B": "2"}
    )
    await send(one)
    [got] = receiver.got
    assert "metadata" not in got.document
    assert (got.headers["x-a"], got.headers["x-b"]) == ("1", "2")


async def test_slack_gets_text_and_blocks_with_its_signs_escaped(receiver: Receiver) -> None:
    said = message(1, type_="slack")
    said.facts.update(job_name="a <b> & c")
    one = channel("slack", channel="#runs", username="me", icon_emoji=":x:", headers={"X-Own": "1"})
    await send(one, said, SLACK_WEBHOOK_URL=receiver.url)
    [got] = receiver.got
    assert got.document["text"].startswith("a &lt;b&gt; &amp; c: completed\n0 of 10 batches completed")
    assert got.document["blocks"][0]["text"]["text"].startswith("*a &lt;b&gt; &amp; c: completed*\n")
    assert (got.document["channel"], got.document["username"], got.document["icon_emoji"]) == ("#runs", "me", ":x:")
    assert got.id == said.id
    assert "x-own" not in got.headers


@pytest.mark.parametrize(
    ("settings", "environ", "error"),
    [
        ({"url_env": "HOOK"}, {}, "the environment variable HOOK is not set"),
        ({"url": "${HOOK}"}, {}, "the environment variable HOOK is not set"),
        ({"url_env": "HOOK"}, {"HOOK": "ftp://x/"}, "the address does not begin with https:// or http://"),
        ({"url_env": "HOOK"}, {"HOOK": "http://[::1/"}, "the address or a header cannot be used"),
        ({"url": "http://127.0.0.1:9", "headers": {"A": "${B}"}}, {}, "the environment variable B is not set"),
        ({"url": "http://127.0.0.1:9", "headers": {"A": "x\ny"}}, {}, "the header A has a line break in it"),
    ],
)
async def test_a_channel_that_cannot_be_used_says_why(settings: Any, environ: dict[str, str], error: str) -> None:
    assert await send(channel(**settings), **environ) == Answer("refused", error)


async def test_slack_without_an_address_names_its_variable() -> None:
    assert await send(channel("slack")) == Answer("refused", "the environment variable SLACK_WEBHOOK_URL is not set")


async def test_a_redirect_is_followed_on_the_same_host_only(receiver: Receiver) -> None:
    receiver.answers(status(308, location="/there"))
    one = channel(url=f"{receiver.url}/here", headers={"X-Key": "k"})
    assert (await send(one)).status == "delivered"
    assert [(got.path, got.headers["x-key"]) for got in receiver.got] == [("/here", "k"), ("/there", "k")]
    with Receiver().in_thread() as other:
        for code in (301, 302, 307, 308):
            receiver.answers(status(code, location=other.url.replace("127.0.0.1", "localhost")))
            answer = await send(one)
            assert (answer.status, answer.http_status) == ("refused", code)
        assert other.got == []


async def test_redirects_in_a_circle_come_to_an_end(receiver: Receiver) -> None:
    receiver.otherwise = status(307, location="/again")
    assert await send(channel(url=receiver.url)) == Answer("refused", "too many redirects")
    assert len(receiver.got) == 4


async def test_no_more_of_an_answer_is_read_than_is_shown(receiver: Receiver) -> None:
    receiver.answers(status(400, body="x" * 10_000_000))
    assert len((await send(channel(url=receiver.url))).error) < 120


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        ({"headers": {"Authorization": "Bearer fish-lake-tower"}}, {}),
        ({"headers": {"Authorization": "Bearer ${T}"}}, {"T": "fish-lake-tower"}),
        ({"headers": {"X-Hook": "fish-lake-tower"}}, {}),
        ({"headers": {"X-Hook": "id=${T};v=1"}}, {"T": "fish-lake-tower"}),
        ({"query": "/hook/${T}"}, {"T": "fish-lake-tower"}),
    ],
)
async def test_an_answer_that_repeats_a_key_is_recorded_without_it(
    receiver: Receiver, settings: dict[str, Any], environ: dict[str, str]
) -> None:
    receiver.answers(status(403, body="nobody knows fish-lake-tower here"))
    url = receiver.url + settings.pop("query", "")
    answer = await send(channel(url=url, **settings), **environ)
    assert answer.error == "HTTP 403: nobody knows …[masked] here"


async def test_an_encrypted_address_of_a_plain_receiver_says_that_it_is_one() -> None:
    async with asyncio.timeout(10), plain() as port:
        answer = await send(channel(url=f"https://127.0.0.1:{port}"))
    assert answer == Answer("again", "no encrypted connection (TLS) can be made")


async def test_a_certificate_that_nobody_vouches_for_is_not_accepted(tmp_path: Path) -> None:
    async with asyncio.timeout(10), plain(own_certificate(tmp_path)) as port:
        answer = await send(channel(url=f"https://127.0.0.1:{port}"))
    assert answer == Answer("again", "the receiver's certificate is not accepted")


@asynccontextmanager
async def plain(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


def own_certificate(folder: Path) -> ssl.SSLContext:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, *files, *name, "-days", "2"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_what_a_frozen_plan_left_out_is_not_sent_to() -> None:
    answer = await send(channel(url=KEPT_OUT))
    assert answer.status == "skipped"
    assert "url_env" in answer.error


@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_a_proxy_of_the_environment_is_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("http_proxy", scheme + receiver.url.removeprefix("http://"))
    monkeypatch.setenv("no_proxy", "")
    await send(channel(url="http://hooks.example/path"))
    assert [got.path for got in receiver.got] == ["http://hooks.example/path"]


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"event_type": "job_start"}, "0 of 10 batches completed, on here"),
        ({"event_type": "job_paused", "error_message": "asked"}, "asked; 0 of 10 batches completed"),
        ({"event_type": "job_failed", "error_code": "E501", "failed_batches": 1}, "1 failed"),
        ({"event_type": "job_failed"}, "`mozart diagnose trial` says more"),
        ({"event_type": "batch_failed", "batch_num": 3, "error_code": "E201"}, "batch 3 of 10 failed: E201"),
        ({"event_type": "batch_complete", "count": 312}, "312 more batches completed"),
        ({"event_type": "batch_failed", "count": 2, "batches": "3-4"}, "2 more batches failed: 3-4"),
        ({"event_type": "rate_limit_detected", "error_code": "E101", "wait_seconds": 300}, "it goes on in 5 min"),
    ],
)
def test_a_message_says_what_happened(changed: dict[str, Any], text: str) -> None:
    assert text in worded(channel("slack").settings, facts(**changed)).text


def test_a_template_says_it_in_its_own_words() -> None:
    one = channel("slack", template="{{ job_id }}: {{ completed_batches }}/{{ total_batches }}")
    assert worded(one.settings, facts()).text == "trial: 0/10"
    one = channel("slack", template={"sheet_failed": "no {{ batch_num }}"})
    assert worded(one.settings, facts(event_type="batch_failed", batch_num=4)).text == "no 4"
    assert "completed" in worded(one.settings, facts()).text


def test_a_template_that_fails_gives_way_to_our_words() -> None:
    said = worded(channel("slack", template="{{ batch_num / 0 }}").settings, facts())
    assert "0 of 10 batches completed" in said.text
    assert "template" in said.fault


async def test_a_template_that_fails_is_in_the_record(receiver: Receiver) -> None:
    answer = await send(channel(url=receiver.url, template="{{ batch_num / 0 }}"))
    assert answer.status == "delivered"
    assert answer.error.startswith("told in other words: template")


# --- desktop ----------------------------------------------------------------------------------------------------------

DESKTOP = {"DISPLAY": ":9", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}


@pytest.mark.skipif(os.name != "posix", reason="other systems have a desktop")
async def test_where_there_is_no_desktop_the_channel_is_silent() -> None:
    assert await send(channel("desktop")) == Answer("skipped", "there is no desktop here")
    assert not has_desktop({"DISPLAY": ":9"})


async def test_a_desktop_shows_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = shows_messages(tmp_path, monkeypatch)
    said = message(1, type_="desktop")
    said.facts.update(job_name="-u it's <b>")
    assert (await send(channel("desktop", app_name="Runs"), said, **DESKTOP)).status == "delivered"
    arguments = lines_of(shown)
    assert arguments[0] == "Mozart – -u it’s <b>: completed"
    assert arguments[1].startswith(" 0 of 10 batches completed")
    assert "Runs" in arguments


async def test_a_desktop_that_nothing_can_show_messages_on_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    forget_platform(monkeypatch)
    answer = await send(channel("desktop"), **DESKTOP)
    assert (answer.status, "notify-send" in answer.error) == ("skipped", True)


def shows_messages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `notify-send` that writes down what it is told."""
    program, shown = folder / "notify-send", folder / "shown"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shown}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    forget_platform(monkeypatch)
    return shown


def forget_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """plyer decides once in a process how it shows messages."""
    import plyer
    from plyer import facades
    from plyer.utils import Proxy

    monkeypatch.setattr(plyer, "notification", Proxy("notification", facades.Notification))


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines()
