"""What to do about a channel that does not work."""

from __future__ import annotations

from typing import Final

from mozart_nb.job.notifications import NOT_KEPT

_REFUSALS: Final = {
    400: "the receiver does not understand the message; see what it expects",
    401: "the receiver wants a login: put its key into a header, from the environment (`headers`, `${NAME}`)",
    403: "the receiver does not let this sender in: check the address and the key in its headers",
    404: "the address is wrong or was withdrawn: make a new one and put it into the environment variable",
    410: "the address was withdrawn: make a new one and put it into the environment variable",
    429: "the receiver is asked too often: tell it of fewer events (`on_events`)",
}


def next_step(type_: str, error: str, http_status: int = 0) -> str:
    """The next thing to try, in one sentence, from what the record of a delivery says."""
    if error == NOT_KEPT:
        return "start the job from its file, or use `url_env`"
    if "environment variable" in error:
        return "set the variable where the job is started, and run or resume the job from there"
    if http_status in _REFUSALS:
        return _REFUSALS[http_status]
    if http_status >= 500:
        return "the receiver itself fails: ask whoever runs it, or wait"
    if 300 <= http_status < 400:
        return "use the address that it redirects to"
    if "certificate" in error:
        return "check the receiver's certificate and this machine's clock and certificates"
    if type_ == "desktop":
        return "nothing has to be done; take the channel out where there is no desktop"
    return "check that the address is right and can be reached from this machine"
