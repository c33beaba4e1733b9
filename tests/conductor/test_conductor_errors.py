"""Errors on their way through the socket: each arrives as what it was, and none brings a secret along."""

from __future__ import annotations

import json

import pytest

from mozart_nb import errors
from mozart_nb.errors import (
    AmbiguousJobError,
    ConductorError,
    ConfigError,
    JobBusyError,
    MisuseError,
    MozartError,
    Problem,
    UnknownJobError,
    UnreadableError,
    WorldError,
)
from mozart_nb.hosts.conductor.faults import NUMBERS, error_of, fault_of
from mozart_nb.masking import know

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, MozartError) and kind is not ConductorError
]


def example(kind: type[MozartError]) -> MozartError:
    if issubclass(kind, ConfigError):
        return kind([Problem("wrong", path="batch.size", line=3, column=2, file="a.yaml", source="size: x")])
    if kind is AmbiguousJobError:
        return AmbiguousJobError("notes", ["/a", "/b"])
    if kind is JobBusyError:
        return JobBusyError("notes", "host here, pid 7")
    return kind("it went wrong", hint="try again", job_id="notes", batch=3, attempt=2, code="E001")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_what_it_was(kind: type[MozartError]):
    sent = example(kind)
    got = error_of(json.loads(json.dumps(fault_of(sent))))
    assert type(got) is kind
    for name in ("message", "hint", "job_id", "batch", "attempt", "code", "owner", "workspaces", "problems"):
        sent_value, got_value = getattr(sent, name, None), getattr(got, name, None)
        assert (list(got_value) if name == "workspaces" and got_value else got_value) == (
            list(sent_value) if name == "workspaces" and sent_value else sent_value
        )
    assert str(got) == str(sent)
    assert got.shown() == sent.shown()


def test_each_number_stands_for_what_the_earlier_tool_had_it_for():
    assert fault_of(UnknownJobError("none"))["code"] == -32000
    assert fault_of(JobBusyError("notes", "somebody"))["code"] == -32002
    assert fault_of(UnreadableError([Problem("x")]))["code"] == NUMBERS[ConfigError]
    assert fault_of(MisuseError("no"))["code"] == NUMBERS[MisuseError]
    assert fault_of(WorldError("no"))["code"] == NUMBERS[MozartError]


def test_what_is_none_of_our_errors_is_one_of_the_conductor():
    for fault in (
        {"code": -32601, "message": "there is no method `fly`"},
        {"code": -32603, "message": "boom", "data": {"type": "KeyError"}},
        {"code": -1, "message": "odd", "data": [1]},
        {"code": -1, "message": "odd", "data": {"type": "__import__"}},
    ):
        got = error_of(fault)
        assert type(got) is ConductorError
        assert (got.number, got.message) == (fault["code"], fault["message"])


def test_secrets_do_not_travel():
    know(["s3cr3t-of-somebody"])
    fault = fault_of(MisuseError("the key s3cr3t-of-somebody is wrong", hint="not s3cr3t-of-somebody"))
    assert "s3cr3t" not in json.dumps(fault)
