"""What helps against failures of one code in this very job: the variable, the key or the folder to see to.

Like the advice of the codes themselves, each is one sentence whose end, behind ", then", says how to go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from mozart_nb.codes import lookup
from mozart_nb.engine.ports import NOT_PERMITTED
from mozart_nb.job.model import JobConfig
from mozart_nb.looking.diagnosis.causes import Evidence

RESUME: Final = ", then resume"
RELOAD: Final = ", then go on with `--reload-config`"
_KEY: Final = re.compile(r"[a-z_]+(?:\.[a-z_]+|\[\d+\])+(?=[ :,])")
_URL: Final = re.compile(r"https?://[^\s,;)]+(?: \(ANTHROPIC_BASE_URL[^)]*\))?")


def mozart_of(config: JobConfig | None) -> str:
    """How commands begin that check rules: `%mozart` where a rule is a function, which only its notebook has."""
    rules = config.validations if config is not None else ()
    return "%mozart" if any(rule.type == "python" for rule in rules) else "mozart"


def advice_on(evidence: Evidence) -> str:
    """One sentence: what fits the job and what its failures said, else what always fits the code."""
    special = _BY_CODE.get(evidence.code)
    return (special(evidence) if special is not None else "") or lookup(evidence.code).advice


def _key(evidence: Evidence) -> str:
    """Which credential: the one that the message names, else the one that the backend looks for."""
    backend = evidence.config.backend if evidence.config is not None else None
    if backend is None or backend.type == "rehearsal":
        return ""
    if backend.type != "claude_cli":
        return f"put a valid key into {backend.api_key_env or 'ANTHROPIC_API_KEY'}{RESUME}"
    if "the key in " in evidence.message:
        variable = evidence.message.partition("the key in ")[2].split()[0].strip(",.;:")
        if variable in backend.env:
            return f"put a valid key into {variable} of backend.env{RELOAD}"
        return f"put a valid key into {variable}, or unset it and log in with `claude /login`{RESUME}"
    return f"log in with `claude /login`, or set ANTHROPIC_API_KEY{RESUME}"


def _model(evidence: Evidence) -> str:
    backend = evidence.config.backend if evidence.config is not None else None
    if backend is None:
        return ""
    key = "cli_model" if backend.type == "claude_cli" else "model"
    return f"correct backend.{key}{RELOAD}"


def _rules(evidence: Evidence) -> str:
    if any(NOT_PERMITTED in text for text in (evidence.message, *evidence.warnings)):
        return f"allow the tool (backend.skip_permissions: true, or backend.allowed_tools){RELOAD}"
    if evidence.config is None or evidence.code != "E201":
        return ""
    again = f"`{mozart_of(evidence.config)} recover {evidence.config.job_id}`"
    return f"if the work is there after all, {again}; else mend the prompt or the rule{RELOAD}"


def _form(evidence: Evidence) -> str:
    if evidence.config is None:
        return ""
    shown = f"`mozart errors {evidence.config.job_id} --verbose`"
    return f"see what came instead ({shown}); mend the prompt or the schema{RELOAD}"


def _silent(evidence: Evidence) -> str:
    if evidence.config is None:
        return ""
    normal = "where such silence is normal, raise stale_detection.idle_timeout_seconds"
    return f"see where it hung ({_log(evidence)}); {normal}{RELOAD}"


def _log(evidence: Evidence) -> str:
    assert evidence.config is not None
    whose = f" --raw --batch {evidence.batch}" if evidence.batch else ""
    return f"`mozart logs {evidence.config.job_id}{whose}`"


def _crashed(evidence: Evidence) -> str:
    return f"see what the session printed last ({_log(evidence)}){RESUME}" if evidence.config is not None else ""


def _killed(evidence: Evidence) -> str:
    who = (
        "a person, a scheduler, or the kernel for lack of memory: see `dmesg`" if "SIGKILL" in evidence.message else ""
    )
    return f"find who ended it ({who}){RESUME}" if who else ""


def _address(evidence: Evidence) -> str:
    found = _URL.search(evidence.message)
    if found is None:
        return ""
    return f"see whether {found[0].rstrip(':')} is right and can be reached from here (network, proxy){RESUME}"


def _description(evidence: Evidence) -> str:
    if "root/sudo privileges" in evidence.message:
        return (
            "in a sandbox set backend.env: {IS_SANDBOX: '1'}, else run it as another user "
            f"or with backend.permission_mode: acceptEdits{RELOAD}"
        )
    if "does not answer like" in evidence.message:
        return f"correct the address (backend.base_url, or the variable ANTHROPIC_BASE_URL){RELOAD}"
    if "unknown option" in evidence.message:
        return f"correct backend.cli_extra_args{RELOAD}"
    if found := _KEY.match(evidence.message):
        return f"correct {found[0]} in the job file{RELOAD}"
    return ""


def _program(evidence: Evidence) -> str:
    if evidence.config is None:
        return ""
    if evidence.config.backend.cli_path:
        return f"put the program there, or correct backend.cli_path{RELOAD}"
    return f"install Claude Code so that `claude` is on PATH, or set backend.cli_path{RELOAD}"


def _memory(evidence: Evidence) -> str:
    parallel = evidence.config.parallel if evidence.config is not None else None
    if parallel is not None and not parallel.enabled:
        return f"make more memory available to it{RESUME}"
    return ""


def _money(evidence: Evidence) -> str:
    limits = evidence.config.cost_limits if evidence.config is not None else None
    if limits is not None and limits.max_cost_per_job is not None and "max_cost_per_job" in evidence.message:
        return f"raise cost_limits.max_cost_per_job{RELOAD}"
    if "credit balance" in evidence.message:
        return f"pay for more credit{RESUME}"
    return ""


def _record(evidence: Evidence) -> str:
    if "the disk is full" in evidence.message or "the disk filled up" in evidence.message:
        return f"make room on the disk{RESUME}: nothing is lost"
    if "read-only" in evidence.message or "permission" in evidence.message:
        return f"make the folder writable{RESUME}: nothing is lost"
    return ""


_BY_CODE: Final[Mapping[str, Callable[[Evidence], str]]] = {
    "E002": _address,
    "E201": _rules,
    "E202": _form,
    "E203": _rules,
    "E303": _silent,
    "E401": _killed,
    "E402": _crashed,
    "E403": _memory,
    "E501": _key,
    "E502": _description,
    "E503": _program,
    "E504": _model,
    "E506": _money,
    "E703": _record,
    "E999": _crashed,
}
