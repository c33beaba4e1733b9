"""How events of remote batches change the state: only their own records, in O(1), whatever is in them."""

from __future__ import annotations

import msgspec

from mozart_nb import events as ev
from mozart_nb.engine._records import Handlers
from mozart_nb.engine.state import JobState, RemoteState


def _submitting(state: JobState, event: ev.RemoteSubmitting) -> None:
    job = state.job
    job.submissions = event.submission
    job.remotes[event.submission] = RemoteState(
        number=event.submission,
        entries=event.entries,
        requests=event.requests,
        sent_at=event.sent_at,
        run=job.runs,
    )


def _submitted(state: JobState, event: ev.RemoteSubmitted) -> None:
    """The service took requests: whoever tried that for all others has got through."""
    job = state.job
    job.crashes = 0  # a host that died since then has got something done
    remote = msgspec.structs.replace(job.remotes[event.submission], status="submitted", remote_id=event.remote_id)
    job.remotes[event.submission] = remote
    if job.limit is not None and (remote.holds(job.limit.probe) or remote.sent_at >= job.limit.until):
        job.limit.passed = True
    job.breaker.failures = 0
    if remote.holds(job.breaker.trial):
        job.breaker.verdict = "passed"


def _unconfirmed(state: JobState, event: ev.RemoteUnconfirmed) -> None:
    remotes = state.job.remotes
    remotes[event.submission] = msgspec.structs.replace(remotes[event.submission], status="unconfirmed")


def _cancelling(state: JobState, event: ev.RemoteCancelling) -> None:
    remote = state.job.remotes.get(event.submission)
    if remote is not None:  # it may have ended while the service was asked to stop
        status = "cancelling" if not event.message else "beyond_reach"
        state.job.remotes[event.submission] = msgspec.structs.replace(remote, status=status)


def _over(state: JobState, event: ev.RemoteEnded | ev.RemoteLost) -> None:
    state.job.remotes.pop(event.submission, None)


HANDLERS: Handlers = {
    ev.RemoteSubmitting: _submitting,
    ev.RemoteSubmitted: _submitted,
    ev.RemoteUnconfirmed: _unconfirmed,
    ev.RemoteCancelling: _cancelling,
    ev.RemoteEnded: _over,
    ev.RemoteLost: _over,
}
