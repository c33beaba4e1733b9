"""The likely cause of a failure in words: what its code means for this job, and what the failed attempts said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mozart_nb.codes import lookup
from mozart_nb.job.model import JobConfig
from mozart_nb.looking.diagnosis.findings import FailedRule
from mozart_nb.words import dollars, one_line, roughly

_MESSAGE_WIDTH: Final = 220
_RULE_WIDTH: Final = 90


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the failures with one code. `message` is what they said most often, `warnings` what their
    sessions warned about; `config` is None where it cannot be read, `batch` the example's, 0 for the job itself.
    """

    code: str
    message: str = ""
    rules: tuple[FailedRule, ...] = ()
    warnings: tuple[str, ...] = ()
    config: JobConfig | None = None
    spent_usd: float = 0.0
    count: int = 1
    batch: int = 0


def likely_cause(evidence: Evidence) -> str:
    """One sentence without a full stop: what explains these failures, then what was said, where that adds anything."""
    explain = _BY_CODE.get(evidence.code, _unknown)
    sentence = explain(evidence)
    said = "" if evidence.rules and explain is _rules else one_line(evidence.message, _MESSAGE_WIDTH)
    if not said or said.lower() in sentence.lower():
        return sentence
    if any(words in said for words in _SAY_IT.get(evidence.code, ())):
        return said
    return f"{sentence}: {said}" if sentence else said


def _unknown(evidence: Evidence) -> str:
    return "" if evidence.message else lookup(evidence.code).meaning


def _plain(text: str) -> Callable[[Evidence], str]:
    return lambda evidence: text


def _unreachable(evidence: Evidence) -> str:
    backend = evidence.config.backend if evidence.config is not None else None
    address = backend and (backend.base_url or backend.env.get("ANTHROPIC_BASE_URL"))
    return f"the service could not be reached at {address}" if address else "the service could not be reached"


def _rules(evidence: Evidence) -> str:
    """What the rule expected that failed most often, and what it saw."""
    denied = next((text for text in evidence.warnings if "not permitted" in text), "")
    refused = f"; a session was refused a tool: {one_line(denied, 120)}" if denied else ""
    if not evidence.rules:
        return f"the results are not what the rules ask for{refused}"
    rule = evidence.rules[0]
    what = " ".join(text for text in (rule.type, one_line(rule.path, _RULE_WIDTH)) if text)
    expected = f" expected {one_line(rule.expected, _RULE_WIDTH)}" if rule.expected else ""
    seen = one_line(rule.actual or rule.message, _RULE_WIDTH)
    saw = f"{' and' if expected else ''} saw {seen}" if seen else ""
    name = f"rule {rule.rule} ({what})" if rule.rule else f"the form of the answer ({what})"
    return f"{name}{expected}{saw}{refused}" if expected or saw else f"{name} was not met{refused}"


def _timeout(evidence: Evidence) -> str:
    config = evidence.config
    if config is None:
        return "sessions took longer than they may"
    return f"sessions took longer than backend.timeout_seconds ({roughly(config.backend.timeout_seconds)})"


def _silent(evidence: Evidence) -> str:
    if evidence.config is None:
        return "sessions printed nothing for too long"
    limit = evidence.config.stale_detection.idle_timeout_seconds
    return f"sessions printed nothing for stale_detection.idle_timeout_seconds ({roughly(limit)})"


def _program(evidence: Evidence) -> str:
    path = evidence.config.backend.cli_path if evidence.config is not None else None
    return f"the program {path} (backend.cli_path) was not found" if path else "the program `claude` was not found"


def _model(evidence: Evidence) -> str:
    backend = evidence.config.backend if evidence.config is not None else None
    model = backend and (backend.cli_model if backend.type == "claude_cli" else backend.model)
    return (
        f"the model `{model}` does not exist, or this account may not use it" if model else "the model does not exist"
    )


def _money(evidence: Evidence) -> str:
    limits = evidence.config.cost_limits if evidence.config is not None else None
    most = limits.max_cost_per_job if limits is not None else None
    if most is None:
        return "the budget is used up"
    return (
        f"the job may cost {dollars(most)} (cost_limits.max_cost_per_job) and {dollars(evidence.spent_usd)} are spent"
    )


def _folder(evidence: Evidence) -> str:
    folder = evidence.config.backend.working_directory if evidence.config is not None else None
    return f"the working directory {folder} cannot be used" if folder else "the working directory cannot be used"


_SAY_IT: Final[Mapping[str, tuple[str, ...]]] = {
    "E202": ("the answer is not",),
    "E301": ("backend.timeout_seconds",),
    "E302": ("backend.timeout_seconds",),
    "E303": ("stale_detection.",),
    "E401": ("other than mozart",),
    "E403": ("memory",),
    "E501": ("is not set", "Not logged in"),
    "E502": ("root/sudo", "does not answer like"),
    "E503": ("no program", "not on PATH", "--version"),
    "E506": ("cost_limits.", "credit balance"),
    "E602": ("working directory",),
    "E703": ("cannot write", "the disk"),
}
"""Words of messages that say all that we would say, and more exactly."""

_BY_CODE: Final[Mapping[str, Callable[[Evidence], str]]] = {
    "E001": _plain("the service or the connection failed for a moment"),
    "E002": _unreachable,
    "E003": _plain("the service was unavailable or overloaded"),
    "E101": _plain("the account's rate limit is reached"),
    "E102": _plain("the account's usage limit or quota is used up"),
    "E103": _plain("the service is overloaded and asks for a long wait"),
    "E201": _rules,
    "E202": _plain("the answers are not the JSON that was asked for"),
    "E203": _rules,
    "E301": _timeout,
    "E302": _timeout,
    "E303": _silent,
    "E401": _plain("somebody or something killed the session's process"),
    "E402": _plain("the session's program crashed"),
    "E403": _plain("the machine ran out of memory and the session was killed for it"),
    "E501": _plain("the login or key was refused"),
    "E502": _plain("the description of the job is wrong"),
    "E503": _program,
    "E504": _model,
    "E505": _plain("the prompt is larger than the model takes"),
    "E506": _money,
    "E601": _plain("a file or folder that is needed is not there"),
    "E602": _folder,
    "E603": _plain("the prompt is over the limit for its size"),
    "E701": _plain("the job's record on disk is damaged"),
    "E702": _plain("the job's record was written by a newer version"),
    "E703": _plain("the job's record could not be written"),
}
