"""What the engine needs from the world, written from the caller's point of view.

Requests and results are frozen plain data, so that a backend may live on another machine. "Off" is a Null object of
the same protocol, never an `if x is not None`.
"""

from mozart_nb.engine.ports.around import (
    Allowance,
    Clock,
    Confirmations,
    Gate,
    GateReading,
    Materials,
    Pace,
    Question,
    Reply,
    Turns,
)
from mozart_nb.engine.ports.checking import (
    Ailment,
    AnswerContract,
    AnswerReading,
    Checker,
    Healer,
    Healing,
)
from mozart_nb.engine.ports.isolation import Ending, Isolation
from mozart_nb.engine.ports.keeping import (
    Claim,
    KeptAnswers,
    Request,
    RequestKind,
    Requests,
    Store,
)
from mozart_nb.engine.ports.remote import Remote, RemoteBatch, RemoteError, RemoteResult
from mozart_nb.engine.ports.sessions import (
    NOT_PERMITTED,
    Backend,
    Continuation,
    ExpectedFile,
    Health,
    Reattaches,
    Report,
    Script,
    SessionRequest,
    SessionResult,
    Stray,
    Strays,
    Turn,
)

__all__ = [
    "NOT_PERMITTED",
    "Ailment",
    "Allowance",
    "AnswerContract",
    "AnswerReading",
    "Backend",
    "Checker",
    "Claim",
    "Clock",
    "Confirmations",
    "Continuation",
    "Ending",
    "ExpectedFile",
    "Gate",
    "GateReading",
    "Healer",
    "Healing",
    "Health",
    "Isolation",
    "KeptAnswers",
    "Materials",
    "Pace",
    "Question",
    "Reattaches",
    "Remote",
    "RemoteBatch",
    "RemoteError",
    "RemoteResult",
    "Reply",
    "Report",
    "Request",
    "RequestKind",
    "Requests",
    "Script",
    "SessionRequest",
    "SessionResult",
    "Store",
    "Stray",
    "Strays",
    "Turn",
    "Turns",
]
