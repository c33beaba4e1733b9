"""One message, one try: what is posted to Slack or a webhook or shown on the desktop, and what came of it.

Addresses and values of headers are looked up in the environment for each try, and are in nothing that is returned.
"""

from __future__ import annotations

import asyncio
import email.utils
import html
import os
import re
import ssl
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urljoin, urlsplit

import msgspec

from mozart_nb.consumers.notify.messages import Message
from mozart_nb.consumers.notify.texts import Wording, worded
from mozart_nb.job.notifications import (
    NOT_KEPT,
    PLAIN_HEADERS,
    SLACK_VARIABLE,
    VARIABLE,
    ChannelSettings,
    NotificationConfig,
    is_kept_out,
)
from mozart_nb.masking import know, masked
from mozart_nb.words import one_line

if TYPE_CHECKING:
    import aiohttp

SOURCE: Final = "mozart_nb"
MOST_RESPONSE_BYTES: Final = 2048
"""What is read of an answer, to say why a message was refused."""
MOST_REDIRECTS: Final = 3
_SAME_METHOD: Final = (307, 308)
_UNFIT: Final = re.compile(r"[\r\n\0]")
_AGAIN: Final = frozenset({408, 425, 429})


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of one try. `again`: another try may help, not before `retry_after` seconds have passed."""

    status: Literal["delivered", "again", "refused", "skipped"]
    error: str = ""
    http_status: int = 0
    retry_after: float = 0.0


class UnusableError(Exception):
    """A channel cannot be used as things are; the text says why and has no secret in it."""


class Sender:
    """Sends messages on one channel. Its connections stay open in between; `close` it.

    `environ` holds the variables that the channel names.
    """

    def __init__(self, channel: NotificationConfig, environ: Mapping[str, str]) -> None:
        self.channel = channel
        self.settings: ChannelSettings = channel.settings
        self._environ = environ
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> Answer:
        """Try once. Never raises for what a receiver, a network or a setting can do."""
        answer = await self._send(message)
        if answer.status != "delivered" or self.settings.template is None:
            return answer
        fault = worded(self.settings, message.facts).fault
        return msgspec.structs.replace(answer, error=f"told in other words: {fault}") if fault else answer

    async def _send(self, message: Message) -> Answer:
        if is_kept_out(self.channel):
            return Answer("skipped", NOT_KEPT)
        try:
            if self.channel.type == "desktop":
                return await self._show(message)
            if self.channel.type == "email":
                return Answer("skipped", "e-mail is not supported")
            address = address_of(self.channel, self._environ)
            headers = headers_of(self.settings, self._environ)
        except UnusableError as error:
            return Answer("refused", str(error))
        forget = know([address, *_secrets(self.settings, headers, self._environ)])
        try:
            return await self._post(message, address, headers if self.channel.type == "webhook" else {})
        finally:
            forget()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    # --- over HTTP ----------------------------------------------------------------------------------------------------

    async def _post(self, message: Message, address: str, headers: dict[str, str]) -> Answer:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(headers={"User-Agent": SOURCE})
        body = payload(self.channel, message)
        headers = {**headers, "Content-Type": "application/json", "Idempotency-Key": message.id}
        limit = aiohttp.ClientTimeout(total=self.channel.timeout_seconds)
        try:
            for _ in range(MOST_REDIRECTS + 1):
                async with self._session.post(
                    address, data=body, headers=headers, timeout=limit, allow_redirects=False, proxy=_proxy(address)
                ) as response:
                    target = response.headers.get("Location", "")
                    if response.status in _SAME_METHOD and _is_same_place(address, urljoin(address, target)):
                        address = urljoin(address, target)
                        continue
                    said = await response.content.read(MOST_RESPONSE_BYTES)
                    return _judged(response.status, response.headers, said)
            return Answer("refused", "too many redirects")
        except TimeoutError:
            return Answer("again", f"no answer within {self.channel.timeout_seconds:g} s")
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            return Answer("refused", "the address cannot be used")
        except (aiohttp.ClientError, OSError) as error:  # some of them are ValueErrors, too
            return Answer("again", _in_words(error))
        except ValueError:
            return Answer("refused", "the address or a header cannot be used")

    # --- on the desktop -----------------------------------------------------------------------------------------------

    async def _show(self, message: Message) -> Answer:
        if not has_desktop(self._environ):
            return Answer("skipped", "there is no desktop here")
        said = worded(self.settings, message.facts)
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        found: list[Exception] = []

        def show() -> None:
            try:
                _notify(said, self.settings.app_name or "Mozart", self.channel.timeout_seconds)
            except Exception as error:  # plyer raises what its platforms raise
                found.append(error)
            loop.call_soon_threadsafe(done.set)

        # A thread that may be left behind: a desktop that hangs must not keep the process.
        threading.Thread(target=show, name="mozart-desktop", daemon=True).start()
        try:
            await asyncio.wait_for(done.wait(), max(10.0, self.channel.timeout_seconds))
        except TimeoutError:
            return Answer("refused", "the desktop did not answer")
        if not found:
            return Answer("delivered")
        if isinstance(found[0], NotImplementedError | ImportError):
            return Answer("skipped", "nothing here shows messages of the desktop (on Linux, `notify-send` does)")
        return Answer("refused", masked(one_line(f"{type(found[0]).__name__}: {found[0]}", 120)))


def address_of(channel: NotificationConfig, environ: Mapping[str, str]) -> str:
    """Where messages go. Raises `UnusableError`."""
    found = channel.settings
    written, variable = (found.url, found.url_env)
    if channel.type == "slack":
        written, variable = found.webhook_url, found.webhook_url_env or SLACK_VARIABLE
    if written is None:
        written = environ.get(variable or "", "").strip()
        if not written:
            raise UnusableError(f"the environment variable {variable} is not set")
    address = filled_in(written, environ).strip()
    if not address.lower().startswith(("http://", "https://")):
        raise UnusableError("the address does not begin with https:// or http://")
    return address


def headers_of(settings: ChannelSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """The channel's own headers. Raises `UnusableError`."""
    headers = {name: filled_in(text, environ).strip() for name, text in settings.headers.items()}
    for name, text in headers.items():
        if _UNFIT.search(name + text):
            raise UnusableError(f"the header {one_line(name, 40)} has a line break in it")
    return headers


def _secrets(settings: ChannelSettings, headers: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """What an answer of the receiver might repeat: values of variables, and of headers with their scheme and without.

    A courier knows nothing else of what is secret: it has not read the job file.
    """
    for text in (settings.url, settings.webhook_url, *settings.headers.values()):
        yield from (environ.get(name, "") for name in VARIABLE.findall(text or ""))
    for name, text in headers.items():
        if name.lower() not in PLAIN_HEADERS:
            yield text
            yield text.partition(" ")[2]


def filled_in(text: str, environ: Mapping[str, str]) -> str:
    """`text` with the value of each `${NAME}`. Raises `UnusableError` for a variable that is not set."""
    unset = [name for name in VARIABLE.findall(text) if not environ.get(name)]
    if unset:
        raise UnusableError(f"the environment variable {unset[0]} is not set")
    return VARIABLE.sub(lambda found: environ[found[1]], text)


def payload(channel: NotificationConfig, message: Message) -> bytes:
    """What is posted: JSON, in the form that Slack asks for or in ours."""
    return msgspec.json.encode(_slack(channel, message) if channel.type == "slack" else _webhook(channel, message))


def _webhook(channel: NotificationConfig, message: Message) -> dict[str, Any]:
    settings = channel.settings
    said = worded(settings, message.facts)
    document = {"event_type": message.event, "id": message.id, **message.facts, "title": said.title, "text": said.text}
    if settings.include_metadata is not False:
        from mozart_nb import __version__

        document["metadata"] = {"source": SOURCE, "version": __version__}
    return document


def _slack(channel: NotificationConfig, message: Message) -> dict[str, Any]:
    """As Slack's page "Sending messages using incoming webhooks" describes it: `text` is for notices, blocks show."""
    settings = channel.settings
    said = worded(settings, message.facts, _for_slack)
    document: dict[str, Any] = {
        "text": f"{said.title}\n{said.text}",
        "username": settings.username or "Mozart",
        "icon_emoji": settings.icon_emoji or ":musical_score:",
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": f"*{said.title}*\n{said.text}"[:3000]}}],
    }
    if settings.channel:
        document["channel"] = settings.channel
    return document


def _for_slack(text: str) -> str:
    return html.escape(text, quote=False)


def _proxy(address: str) -> str | None:
    """The proxy that the environment names for an address. Not by aiohttp's `trust_env`: that sends `.netrc` along."""
    parts = urlsplit(address)
    if parts.hostname is None or urllib.request.proxy_bypass(parts.hostname):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"  # others take `host:port`, too


def _is_same_place(address: str, target: str) -> bool:
    """Whether headers and message may follow a redirect: to the same host, and never from TLS to plain text."""
    here, there = urlsplit(address), urlsplit(target)
    if here.hostname != there.hostname:
        return False
    return (here.scheme, here.port) == (there.scheme, there.port) or (here.scheme, there.scheme) == ("http", "https")


def _judged(status: int, headers: Mapping[str, str], said: bytes) -> Answer:
    if 200 <= status < 300:
        return Answer("delivered", http_status=status)
    if 300 <= status < 400:
        return Answer("refused", f"HTTP {status}: it redirects to another place", status)
    excerpt = masked(one_line(said.decode("utf-8", "replace"), 100))
    error = f"HTTP {status}: {excerpt}" if excerpt else f"HTTP {status}"
    if status in _AGAIN or status >= 500:
        return Answer("again", error, status, _retry_after(headers.get("Retry-After", "")))
    return Answer("refused", error, status)


def _retry_after(text: str) -> float:
    """Seconds; RFC 9110, section 10.2.3: a number or a date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _in_words(error: Exception) -> str:
    """Why there is no connection, without the host and path that the error itself names."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the receiver's certificate is not accepted"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "no encrypted connection (TLS) can be made"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name of the receiver's host cannot be found"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "the proxy cannot be reached"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | ConnectionResetError):
        return "the receiver closed the connection"
    if isinstance(error, OSError) and error.errno:
        return f"cannot connect: {os.strerror(error.errno)}"
    return type(error).__name__


# --- desktop ----------------------------------------------------------------------------------------------------------


def has_desktop(environ: Mapping[str, str]) -> bool:
    """Whether somebody could see a message of the desktop here."""
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in environ
    has_screen = bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
    bus = environ.get("DBUS_SESSION_BUS_ADDRESS") or os.path.exists(f"{environ.get('XDG_RUNTIME_DIR', '')}/bus")  # noqa: PTH110
    return has_screen and bool(bus)


def _notify(said: Wording, app_name: str, seconds: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # plyer warns of the ways it cannot go
        import plyer

        # What the desktop's programs would take for options, markup or the end of a text.
        title, text = (part.replace("'", "’") for part in (f"Mozart – {said.title}", f" {said.text}".rstrip()))
        if sys.platform == "linux":
            text = html.escape(text, quote=False)
        plyer.notification.notify(title=title[:64], message=text[:250], app_name=app_name, timeout=round(seconds))
