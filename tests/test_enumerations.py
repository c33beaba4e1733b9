"""Every event, every code, every exception: walked, not sampled."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect as shapes

import mozart_nb
from mozart_nb import errors
from mozart_nb.codes import CODES, Category, Scope, lookup
from mozart_nb.errors import ConfigError, MisuseError, MozartError, Problem, WorldError
from mozart_nb.events import Event, decode_event, encode_event, event_types, kind_of
from mozart_nb.job.lint import RULES
from mozart_nb.job.vcodes import NOTICED, V_CODES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

EVENT_NAMES = """
job.planned job.started job.waiting job.pausing job.paused job.resumed job.completed job.failed job.cancelled
job.config_reloaded job.cost_update job.notice job.pause_withdrawn job.isolated job.worktree_kept job.worktree_removed
batch.started batch.completed batch.failed batch.blocked batch.skipped batch.retrying batch.completing batch.waiting
batch.asked batch.answered batch.continued batch.question_withdrawn
batch.preflight batch.validation_passed batch.validation_failed batch.healing batch.healed batch.renewed
session.opened session.progress session.finished session.abandoned session.adopted
remote.submitting remote.submitted remote.unconfirmed remote.lost remote.cancelling remote.ended
limit.hit limit.cleared breaker.opened breaker.half_open breaker.closed
""".split()
"""Names that journals and people's scripts rely on."""

E_CODES = """
E001 E002 E003 E101 E102 E103 E201 E202 E203 E301 E302 E303 E401 E402 E403
E501 E502 E503 E504 E505 E506 E601 E602 E603 E701 E702 E703 E999
""".split()

RAISED_AS = {
    "E701": "CheckpointCorruptError",
    "E702": "CheckpointTooNewError",
    "E703": "CheckpointUnwritableError",
}
"""Codes that stand for an exception; a test of it is a test of the code."""

INTERNAL_ERRORS = {
    "LimitExceededError": "raised inside a template, where job.templates turns it into a PromptError",
    "UnknownNameError": "raised inside a template, where job.templates turns it into a PromptError",
    "UnquotableError": "job.placeholders turns it into a PromptError",
    "_OverrideError": "job.overrides turns it into a ConfigError",
    "UnsupportedError": "the rehearsal turns a pattern or schema it cannot imitate into a warning",
    "SchemaFaultError": "a check turns it into a finding, validation.answer into a ConfigError",
    "NotPlainError": "job.borrowed turns it into a ConfigError",
    "NotAFormError": "job.borrowed turns it into a ConfigError",
    "UnfitFunctionError": "job.borrowed turns it into a ConfigError, or says it when a run needs the function",
    "NotJsonError": "validation.answer turns it into what is wrong with the answer",
    "_UnfitError": "backends._claude_schema leaves the schema to the prompt",
    "_UnsendableError": "backends._anthropic_schema leaves the schema to the prompt",
    "AttachmentError": "backends.anthropic_api turns it into the end of a session",
    "SseError": "backends._anthropic_stream turns it into a StreamError",
    "StreamError": "backends._anthropic_exchange turns it into the end of a session",
    "SyncFailedError": "checkpoint.writer writes the events anew, or raises CheckpointUnwritableError",
    "GitError": "plans.isolating turns it into a fallback or an IsolationError, winding up into a reason to keep",
    "_KeepError": "isolation.winding_up turns it into the reason why a worktree is kept",
    "RemoteError": "engine.remote turns it into the end of sessions, or asks again",
    "UnusableSnapshotError": "checkpoint.load reads the journal instead",
    "InterruptedReadError": "raised only where the caller said that it may give up; timeline turns it into None",
    "ParameterError": "jupyter.server.api.operation turns it into the answer 400",
    "Refusal": "an answer of the server with its whole document; tornado sends it",
    "CrowdedError": "jupyter.server.base turns it into the answer 503",
    "NotNowError": "jupyter.server.api.operation turns it into the answer 409",
    "UnusableError": "consumers.notify.sending turns it into what came of a try",
    "MozartInterrupted": "an interrupt stays a KeyboardInterrupt, so that a front end stops the cells behind it",
}
"""Exceptions outside the tree: none of them leaves the module that is named here."""

each_event = pytest.mark.parametrize("kind", event_types(), ids=kind_of)


# --- events -----------------------------------------------------------------------------------------------------------


def filled(shape: Any) -> Any:
    """A value of that type which differs from any default."""
    match shape:
        case shapes.StrType():
            return 'ü "quoted"\n\u2028 🎼'
        case shapes.IntType():
            return 2**40
        case shapes.FloatType():
            return 1764000000.125
        case shapes.BoolType():
            return True
        case shapes.LiteralType(values):
            return values[-1]
        case shapes.UnionType(types):
            return filled(next(one for one in types if not isinstance(one, shapes.NoneType)))
        case shapes.DictType(key_type, value_type):
            return {filled(key_type): filled(value_type)}
        case shapes.TupleType(item_types):
            return tuple(filled(one) for one in item_types)
        case shapes.VarTupleType(item_type):
            return (filled(item_type), filled(item_type))
        case shapes.StructType(cls, fields):
            return cls(**{field.name: filled(field.type) for field in fields})
    raise AssertionError(f"no value for {shape}")


def structure(kind: type[Event]) -> shapes.StructType:
    shape = shapes.type_info(kind)
    assert isinstance(shape, shapes.StructType)
    return shape


@each_event
def test_an_event_with_every_field_set_survives_json(kind: type[Event]) -> None:
    event = filled(structure(kind))
    line = encode_event(event)
    assert decode_event(line) == event
    assert type(decode_event(line)) is kind
    assert b"\n" not in line


@each_event
def test_an_event_with_defaults_survives_json_and_leaves_them_out(kind: type[Event]) -> None:
    required = [field for field in structure(kind).fields if field.required]
    event = kind(**{field.name: filled(field.type) for field in required})
    line = encode_event(event)
    assert decode_event(line) == event
    always = {"format"} & set(json.loads(line))  # named also where it is the only one there is
    assert set(json.loads(line)) - always == {"kind", *(field.name for field in required)}


@each_event
def test_an_event_can_be_read_when_a_later_version_adds_a_field(kind: type[Event]) -> None:
    event = filled(structure(kind))
    extended = {**json.loads(encode_event(event)), "added_later": [1, 2]}
    assert decode_event(json.dumps(extended).encode()) == event


@each_event
def test_an_event_cannot_be_changed(kind: type[Event]) -> None:
    with pytest.raises(AttributeError):
        filled(structure(kind)).seq = 5


@each_event
def test_an_event_says_what_it_means(kind: type[Event]) -> None:
    assert len((kind.__doc__ or "").split()) >= 3


def test_every_event_class_is_part_of_the_union_and_has_a_name_of_its_own() -> None:
    assert set(event_types()) == set(below(Event))
    assert sorted(map(kind_of, event_types())) == sorted(EVENT_NAMES)


def below(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from below(one)


def test_a_line_that_is_no_event_is_refused() -> None:
    for line in (b"{}", b'{"kind":"job.unheard_of"}', b'{"kind":"limit.hit"}', b"[]"):
        with pytest.raises(msgspec.ValidationError):
            decode_event(line)


@each_event
def test_an_event_and_each_of_its_fields_are_documented(kind: type[Event]) -> None:
    page = (DOCS / "events.md").read_text(encoding="utf-8")
    section = page.partition(f"### `{kind_of(kind)}`\n")[2].partition("\n#")[0]
    assert section, f"{kind_of(kind)} has no section"
    for field in structure(kind).fields:
        if field.name not in ("seq", "at"):
            assert f"| `{field.name}` |" in section


# --- codes ------------------------------------------------------------------------------------------------------------


def test_the_error_codes_are_those_that_users_know() -> None:
    assert list(CODES) == E_CODES
    assert all(code == row.code for code, row in CODES.items())


@pytest.mark.parametrize("code", [*E_CODES, *V_CODES])
def test_a_code_has_a_row_on_the_page(code: str) -> None:
    rows = re.findall(rf"^\| `{code}` \|", (DOCS / "error-codes.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 1


@pytest.mark.parametrize("code", [*E_CODES, *V_CODES])
def test_a_code_is_tested(code: str) -> None:
    names = (code, RAISED_AS.get(code, code))
    assert any(name in text for text in texts_of_other_tests() for name in names), f"no test mentions {code}"


@cache
def texts_of_other_tests() -> list[str]:
    tests = Path(__file__).parent
    files = [*tests.rglob("*.py"), *tests.rglob("*.json"), *tests.rglob("*.jsonl"), *tests.rglob("*.tsv")]
    return [file.read_text(encoding="utf-8", errors="replace") for file in files if file != Path(__file__)]


def test_codes_named_in_the_source_are_in_the_tables() -> None:
    named = {text for file in sources() for text in strings(file) if re.fullmatch(r"[EV]\d{3}", text)}
    assert named <= {*CODES, *V_CODES}


def sources() -> list[Path]:
    return sorted((ROOT / "src").rglob("*.py"))


def strings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_check_of_a_job_file_has_a_rule_that_finds_it() -> None:
    assert {*RULES, *NOTICED} == set(V_CODES)


def test_a_code_of_a_newer_version_reads_as_unclassified() -> None:
    assert lookup("E777").code == "E999"


def test_what_reaches_the_account_is_waited_for_and_nothing_else() -> None:
    for row in CODES.values():
        assert (row.scope is Scope.ACCOUNT) == (row.category is Category.RATE_LIMIT)
        assert row.meaning
        assert row.advice


# --- exceptions -------------------------------------------------------------------------------------------------------


@cache
def exceptions() -> list[type[BaseException]]:
    """Every exception class defined anywhere in the package."""
    found = set()
    for info in pkgutil.walk_packages(mozart_nb.__path__, "mozart_nb."):
        if not info.name.endswith("__main__"):
            module = importlib.import_module(info.name)
            found |= {
                value
                for value in vars(module).values()
                if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == info.name
            }
    return sorted(found, key=lambda kind: kind.__qualname__)


def in_the_tree() -> list[type[MozartError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MozartError)]


def test_every_exception_is_in_the_tree_or_stays_inside() -> None:
    outside = {kind.__name__ for kind in exceptions()} - {kind.__name__ for kind in in_the_tree()}
    assert outside == set(INTERNAL_ERRORS)


def test_the_docstring_of_errors_draws_the_tree_as_it_is() -> None:
    drawn = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([ │├└─]*)(\w+Error)\b", line)
        if match:
            depth, name = len(match[1]), match[2]
            above = [(at, one) for at, one in above if at < depth]
            drawn[name] = above[-1][1] if above else "Exception"
            above.append((depth, name))
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in in_the_tree()}


@pytest.mark.parametrize("kind", in_the_tree(), ids=lambda kind: kind.__name__)
def test_an_exception_is_either_misuse_or_the_world(kind: type[MozartError]) -> None:
    if kind is not MozartError:
        assert issubclass(kind, MisuseError) != issubclass(kind, WorldError)
    assert kind.__doc__


def test_an_exception_carries_what_is_needed_to_act_on_it() -> None:
    error = MozartError("it failed", hint="try again", job_id="nightly", batch=3, attempt=2, code="E001")
    assert (str(error), error.hint, error.job_id, error.batch, error.attempt, error.code) == (
        "it failed",
        "try again",
        "nightly",
        3,
        2,
        "E001",
    )
    problem = Problem("unknown key", line=4, column=3, value="retrys", nearest="retry", file="job.yaml")
    assert str(ConfigError([problem])) == "job.yaml:4:3: unknown key (got retrys); did you mean `retry`?"
    assert ConfigError([problem]).code == "E502"
