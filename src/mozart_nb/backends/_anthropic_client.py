"""The official SDK, imported on first use and in a thread: that takes about a second.

The SDK reads the process's environment by itself. Everything it could find there is given explicitly, so that only the
`environ` of a backend counts: key or token, base URL, proxies and certificates.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mozart_nb.backends._offload import in_thread
from mozart_nb.backends._text import address_of

if TYPE_CHECKING:
    import anthropic

DEFAULT_BASE_URL: Final = "https://api.anthropic.com"
DEFAULT_KEY_VARIABLE: Final = "ANTHROPIC_API_KEY"
TOKEN_VARIABLE: Final = "ANTHROPIC_AUTH_TOKEN"

MOST_CONNECTIONS: Final = 4096
"""More than any job sends at once: nobody may queue inside the pool, where its time-out would already be running."""

CONNECT_SECONDS: Final = 30.0
SILENCE_SECONDS: Final = 600.0
"""Without a single byte for so long the connection is taken for dead; the service sends pings while it works."""


_SHORTEST_SECRET: Final = 8


class Access(NamedTuple):
    """How the API is reached. `fault` says why it cannot be; `secret` must never be shown."""

    base_url: str
    variable: str
    secret: str
    is_token: bool = False
    fault: str = ""
    fault_kind: str = ""

    @property
    def address(self) -> str:
        """The base URL as it may be shown: without a name and password in it."""
        return address_of(self.base_url)

    def without_secret(self, text: str) -> str:
        """`text` with the key blotted out, whatever its shape; what is too short for a key may be any word."""
        return text.replace(self.secret, "[masked]") if len(self.secret) >= _SHORTEST_SECRET else text


def access_of(options: Mapping[str, Any], environ: Mapping[str, str]) -> Access:
    """Address and credential from the job's `backend` section and the environment.

    The token of `ANTHROPIC_AUTH_TOKEN` counts only where there is no key.
    """
    variable = options.get("api_key_env") or DEFAULT_KEY_VARIABLE
    url = (options.get("base_url") or environ.get("ANTHROPIC_BASE_URL") or DEFAULT_BASE_URL).strip()
    key, token = environ.get(variable, "").strip(), environ.get(TOKEN_VARIABLE, "").strip()
    access = Access(
        url, variable if key or not token else TOKEN_VARIABLE, key or token, is_token=bool(token) and not key
    )
    if not url.startswith(("http://", "https://")):
        return access._replace(fault=f"backend.base_url: {url} is no http(s) address", fault_kind="arguments")
    if not access.secret:
        text = f"there is no API key: the environment variable {variable} is not set"
        return access._replace(fault=text, fault_kind="authentication_failed")
    if not (access.secret.isascii() and access.secret.isprintable()):
        text = f"the environment variable {access.variable} holds characters that no key has"
        return access._replace(fault=text, fault_kind="authentication_failed")
    return access


class LazyClient:
    """One client of the SDK, made when it is first asked for. Belongs to one event loop."""

    def __init__(self, access: Access, environ: Mapping[str, str]) -> None:
        self._access = access
        self._environ = environ
        self._made: asyncio.Future[anthropic.AsyncAnthropic] | None = None

    async def get(self) -> anthropic.AsyncAnthropic:
        """The client. Raises what its import or construction raised; the next call tries again."""
        if self._made is not None and self._made.done() and self._made.exception() is None:
            return self._made.result()
        if self._made is None or (self._made.done() and self._made.exception() is not None):
            self._made = in_thread(_make_client, self._access, self._environ)
        # Others wait for the same client: the cancellation of one must not take it from them.
        return await asyncio.shield(self._made)

    async def close(self) -> None:
        """Close all connections. The client is made anew if it is asked for again."""
        made, self._made = self._made, None
        if made is None:
            return
        try:
            client = await asyncio.shield(made)
        except Exception:
            return  # it was never made
        await client.close()


def _make_client(access: Access, environ: Mapping[str, str]) -> anthropic.AsyncAnthropic:
    import anthropic
    import httpx2

    patience = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=None)
    transport = anthropic.DefaultAioHttpClient(
        timeout=patience,
        limits=httpx2.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS),
        trust_env=False,
        verify=_certificates(environ),
        proxy=_proxy(access.base_url, environ),
    )
    client = anthropic.AsyncAnthropic(
        api_key=None if access.is_token else access.secret,
        auth_token=access.secret if access.is_token else None,
        webhook_key="",
        base_url=access.base_url,
        timeout=patience,
        max_retries=0,
        default_headers={**_withheld_headers(), **_key_header(access)},
        http_client=transport,
        **_without_tracing(anthropic.AsyncAnthropic),
    )
    _ = client.messages, client.models  # these import the rest of the SDK
    return client


def _without_tracing(kind: type) -> dict[str, Any]:
    """Newer versions trace calls when the environment says so; older ones do not know the parameter."""
    return {"open_telemetry": False} if "open_telemetry" in inspect.signature(kind).parameters else {}


def _withheld_headers() -> dict[str, Any]:
    """Takes back the headers that the SDK adds by itself from the process's environment."""
    import anthropic

    lines = os.environ.get("ANTHROPIC_CUSTOM_HEADERS", "").split("\n")
    return {line.partition(":")[0].strip(): anthropic.Omit() for line in lines if ":" in line}


def _key_header(access: Access) -> dict[str, str]:
    """Gateways look for the key where it was until version 2.0 of the SDK, which sends it as `Authorization`."""
    is_gateway = not access.base_url.startswith(DEFAULT_BASE_URL)
    return {"X-Api-Key": access.secret} if is_gateway and not access.is_token else {}


def _certificates(environ: Mapping[str, str]) -> Any:
    import ssl

    file, folder = environ.get("SSL_CERT_FILE"), environ.get("SSL_CERT_DIR")
    return ssl.create_default_context(cafile=file or None, capath=folder or None) if file or folder else True


def _proxy(base_url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for `base_url`, by the usual variables in either case."""
    from urllib.parse import urlsplit
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # documented by its users only

    lower = {name.lower(): value for name, value in environ.items() if name.lower().endswith("_proxy") and value}
    parts = urlsplit(base_url)
    if proxy_bypass_environment(parts.hostname or "", {"no": lower.get("no_proxy", "")}):
        return None
    return lower.get(f"{parts.scheme}_proxy") or lower.get("all_proxy")
