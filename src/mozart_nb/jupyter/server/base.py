"""What every handler is made of: signed in, allowed, bounded, with errors in one format.

class Jobs(ApiHandler):                                   class Home(PageHandler):
    async def get(self) -> None:                              async def get(self) -> None:
        page = await self.in_thread(self.board.jobs)              page = await self.in_thread(self.board.jobs)
        self.answer(page)                                         self.render_page("home.html", jobs=page.jobs)

A method of a handler needs no decorator: each is wrapped when its class is made, so that none can be forgotten. Who may
come in is decided by Jupyter Server (its identity provider and authorizer; our resource is called `mozart`).
"""

from __future__ import annotations

import gzip
import re
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.extension.handler import ExtensionHandlerJinjaMixin, ExtensionHandlerMixin
from jupyter_server.services.security import csp_report_uri
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.concurrent import Future

from mozart_nb.jupyter.server import headers, problems
from mozart_nb.jupyter.server.problems import ProblemDocument

if TYPE_CHECKING:
    from mozart_nb.jupyter.server.app import MozartApp
    from mozart_nb.looking.board import Board

P = ParamSpec("P")
T = TypeVar("T")

BODY_LIMIT_BYTES: Final = 1 << 20
"""The largest body of a request; a job file is a few kilobytes."""

WORTH_COMPRESSING_BYTES: Final = 1024

_READING: Final = ("GET", "HEAD", "OPTIONS")
_METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options")


def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method for those who are signed in and allowed. Public ones (`allow_unauthenticated`) stay as they are."""
    if getattr(method, "__allow_unauthenticated", False) or getattr(method, "_is_guarded", False):
        return method
    wrapped = web.authenticated(authorized(method))
    wrapped._is_guarded = True  # type: ignore[attr-defined]
    return cast("Callable[..., Any]", wrapped)


@web.stream_request_body
class MozartHandler(ExtensionHandlerJinjaMixin, ExtensionHandlerMixin, JupyterHandler):
    """Everything below `/mozart/`.

    Bodies are taken in piece by piece, so that the limits hold before anything is read, also in a server whose own
    limit is half a gigabyte, and only for those who may come in. HEAD answers as GET does, without the body.
    """

    auth_resource = "mozart"
    body_limit_bytes = BODY_LIMIT_BYTES
    name = "mozart_nb"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _METHODS:
            if name in cls.__dict__:
                setattr(cls, name, guarded(cls.__dict__[name]))
        if "get" in cls.__dict__ and "head" not in cls.__dict__:
            cls.head = cls.get

    # --- what handlers use --------------------------------------------------------------------------------------------

    @property
    def app(self) -> MozartApp:
        """The extension, with what it keeps while the server runs."""
        return cast("MozartApp", self.extensionapp)

    @property
    def board(self) -> Board:
        """What the web sees of the user's jobs; all of it blocks: `await self.in_thread(self.board.look, key)`."""
        return self.app.board

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a blocking function returns or raises. 503 when too many requests wait already."""
        return await self.app.workers.run(function, *args, **kwargs)

    @property
    def body(self) -> bytes:
        """The body of the request, whole and within `body_limit_bytes`."""
        return bytes(self._received)

    def refuse(self, status: int, detail: str, *, hint: str = "") -> NoReturn:
        """End the request with this problem."""
        raise Refusal(problems.problem(status, detail, hint=hint))

    # --- the way of a request -----------------------------------------------------------------------------------------

    async def prepare(self) -> None:  # type: ignore[override]
        """Limits first, then who it is and where it comes from, then the size that the body is said to have."""
        self._received = bytearray()
        connection = cast("Any", self.request.connection)  # HTTP/1 is all that tornado speaks
        connection.set_max_body_size(self.body_limit_bytes)
        connection.set_body_timeout(self.app.body_seconds)
        await super().prepare()
        if self._finished:  # sent to the login page
            return
        if not self.check_origin():
            raise web.HTTPError(403, "This request comes from a page of another site.")
        if _said_length(self.request.headers.get("Content-Length", "0")) > self.body_limit_bytes:
            self.refuse(413, f"The body of a request has at most {self.body_limit_bytes} bytes.")

    def data_received(self, chunk: bytes) -> None:
        """Part of the body; the connection ends where there are more than were allowed for."""
        self._received += chunk

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None, **kwargs: Any) -> Future[None]:
        """Send the answer: compressed where the client can read that."""
        if chunk is not None:
            self.write(chunk)
        self._compress()
        return super().finish(**kwargs)

    def _compress(self) -> None:
        if self._headers_written or "Content-Encoding" in self._headers:
            return
        self.add_header("Vary", "Accept-Encoding")
        whole = b"".join(self._write_buffer)
        if len(whole) < WORTH_COMPRESSING_BYTES or not reads_gzip(self.request.headers.get("Accept-Encoding", "")):
            return
        # A fixed time, so that the same text has the same entity tag.
        self._write_buffer = [gzip.compress(whole, compresslevel=5, mtime=0)]
        self.set_header("Content-Encoding", "gzip")

    @guarded
    def options(self, *args: Any, **kwargs: Any) -> None:
        """Which methods there are."""
        self._say_methods()

    def _say_methods(self) -> None:
        self.set_header("Allow", ", ".join(self.methods()))
        self.set_status(204)

    @classmethod
    def methods(cls) -> list[str]:
        """The methods that are answered here."""
        missing = web.RequestHandler._unimplemented_method
        return [name.upper() for name in _METHODS if getattr(cls, name) is not missing]

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Every error gets the status of its kind (`problems.STATUS_OF`)."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if error is not None and not isinstance(error, web.HTTPError):
            status_code = problems.status_of(error)
        super().send_error(status_code, **kwargs)

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """A traceback for what is a mistake of ours; the others are answers like any."""
        if value is not None and problems.status_of(value) == 500:
            super().log_exception(typ, value, tb)

    def what_went_wrong(self, status: int, kwargs: Mapping[str, Any]) -> ProblemDocument:
        """The document of the error that `write_error` was called for."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if status == 413:
            self.set_header("Connection", "close")  # nobody reads the rest of the body
        if status == 503:
            self.set_header("Retry-After", "1")
        if isinstance(error, Refusal):
            return error.document
        if isinstance(error, web.HTTPError):
            if status == 405:
                self.set_header("Allow", ", ".join(self.methods()))
            return problems.problem(status, _said_by(error))
        return problems.problem_of(error) if error is not None else problems.problem(status)

    # --- headers ------------------------------------------------------------------------------------------------------

    def set_default_headers(self) -> None:
        """Those of Jupyter Server and of the user, and ours."""
        super().set_default_headers()
        for name, value in headers.COMMON.items():
            self.set_header(name, value)
        self.clear_header("Server")  # whose version is nobody's business

    @property
    def users_policy(self) -> str:
        """The Content-Security-Policy that the user has configured for the whole server; else nothing."""
        return str(self.settings.get("headers", {}).get("Content-Security-Policy", ""))


class Refusal(web.HTTPError):
    """An error with its whole document."""

    def __init__(self, document: ProblemDocument) -> None:
        super().__init__(document.status)
        self.document = document


class ApiHandler(MozartHandler, APIHandler):
    """Answers programs: JSON, and `application/problem+json` for whatever goes wrong.

    Who is not signed in gets 403, as everywhere in Jupyter Server, and a foreign Origin 404. What changes something
    (POST and its like) needs a token, or the cookie and the header `X-XSRFToken`.
    """

    media_type = "application/json"

    def answer(self, document: Any, status: int = 200) -> None:
        """Send a document: whatever msgspec can write as JSON."""
        self.set_status(status)
        self.finish(msgspec.json.encode(document))

    def json_body(self, shape: type[T]) -> T:
        """The body as `shape`. 415 when it is not said to be JSON, 400 when it is not of that shape."""
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            self.refuse(415, "The body must be JSON.", hint="Send it with `Content-Type: application/json`.")
        try:
            return msgspec.json.decode(self.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.refuse(400, f"The body cannot be understood: {error}")

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None, **kwargs: Any) -> Future[None]:
        """Send the answer as `media_type`."""
        return super().finish(chunk, set_content_type=self.media_type)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The problem, as a document."""
        self.media_type = problems.MEDIA_TYPE
        self.finish(problems.encoded(self.what_went_wrong(status_code, kwargs)))

    @allow_unauthenticated
    def options(self, *args: Any, **kwargs: Any) -> None:
        """Which methods there are. Public: browsers ask it without credentials before they send a request with some."""
        APIHandler.options(self, *args, **kwargs)
        self._say_methods()
        self.set_header("Access-Control-Allow-Methods", ", ".join(self.methods()))

    @property
    def content_security_policy(self) -> str:
        return headers.api_policy(users=self.users_policy)

    @property
    def _track_activity(self) -> bool:  # type: ignore[override]
        # A page that is left open asks for ever; that alone must not keep an idle server alive.
        return self.request.method not in _READING


class PageHandler(MozartHandler):
    """Answers people: HTML from a template, and an error page for whatever goes wrong.

    Who is not signed in is sent to the login page. What templates get beside their own values is `template_namespace`.
    """

    def render_page(self, template: str, *, status: int = 200, **values: Any) -> None:
        """Send a page. Texts in `values` are text, whatever stands in them: templates escape."""
        self.set_status(status)
        self.finish(self.render_template(template, **values))

    @property
    def template_namespace(self) -> dict[str, Any]:
        """What every template knows.

        `static_url(path)` and `base_url` (ends with `/`) keep links right behind JupyterHub and proxies; `mozart_url`
        is where our pages begin, without `/` at its end. A `<script>` carries `nonce="{{ csp_nonce }}"`, or it does not
        run; what it imports needs none. Scripts send the cookie `_xsrf` as header `X-XSRFToken`. Jupyter's own
        namespace is left out: it holds the token.
        """
        return {
            "base_url": self.base_url,
            "mozart_url": url_path_join(self.base_url, "mozart"),
            "static_url": self.static_url,
            "csp_nonce": self.nonce,
            "is_standalone": self.app.is_standalone,
        }

    async def prepare(self) -> None:  # type: ignore[override]
        """A browser that came with a token in the address gets a cookie, and the address without the token."""
        await super().prepare()
        if self._finished:
            return
        self.xsrf_token  # noqa: B018 - asking sets the cookie that the page's scripts send back
        wants_page = self.request.headers.get("Sec-Fetch-Mode") == "navigate" and self.request.method == "GET"
        if wants_page and self.token_authenticated and "token" in self.request.query_arguments:
            self.redirect(self.request.uri or "")

    def redirect(self, url: str, permanent: bool = False, status: int | None = None) -> None:
        """Go elsewhere; a token in the address stays behind, also in the one to come back to from the login page."""
        super().redirect(without_token(url), permanent, status)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The problem, as a page."""
        document = self.what_went_wrong(status_code, kwargs)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.finish(self.render_template("error.html", problem=problems.as_dict(document)))

    @property
    def nonce(self) -> str:
        """What scripts of this answer carry; nobody can guess it."""
        if not hasattr(self, "_nonce"):
            self._nonce = secrets.token_urlsafe(16)
        return self._nonce

    @property
    def content_security_policy(self) -> str:
        report_to = url_path_join(self.base_url, csp_report_uri)
        return headers.page_policy(self.nonce, report_to, users=self.users_policy)


def without_token(url: str) -> str:
    """The address without `token=`, and without one in the address that `next=` holds."""
    parts = urlsplit(url)
    if "token" not in parts.query:
        return url
    query = [
        (key, without_token(value) if key == "next" else value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
        if key != "token"
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))


def reads_gzip(accepted: str) -> bool:
    """Whether a header `Accept-Encoding` allows gzip. Source: RFC 9110, section 12.5.3."""
    for part in accepted.lower().split(","):
        name, *more = (one.strip() for one in part.split(";"))
        if name == "gzip":
            return not any(re.fullmatch(r"q=0(\.0*)?", one) for one in more)
    return False


def _said_length(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _said_by(error: web.HTTPError) -> str:
    if not error.log_message:
        return ""
    return error.log_message % error.args if error.args else error.log_message
