"""The table of methods: what there is, under which names, and how parameters are checked."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.errors import ConductorError
from mozart_nb.hosts.conductor import rpc
from mozart_nb.hosts.conductor.methods import METHODS, NAMES, in_order, params_of
from mozart_nb.hosts.conductor.wanted import Params

EARLIER = (
    "job.submit job.status job.pause job.resume job.cancel job.list job.errors job.diagnose job.history job.recover"
    " daemon.status daemon.shutdown daemon.config daemon.health daemon.ready"
).split()

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


def test_everything_that_was_promised_is_there():
    promised = (
        "submit status list pause resume cancel modify recover errors diagnose history watch questions answer rehearse"
        " adopt health ready config shutdown"
    )
    assert set(promised.split()) <= set(METHODS)


def test_the_names_of_the_earlier_tool_lead_to_the_same():
    assert set(EARLIER) <= set(NAMES)
    assert NAMES["job.submit"] is METHODS["submit"]
    assert NAMES["daemon.status"] is METHODS["health"]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_method_says_what_it_does_and_what_each_parameter_means(method):
    assert method.summary.endswith(".")
    assert method.result
    schema = msgspec.json.schema(method.params)
    for definition in schema["$defs"].values():
        for name, field in definition["properties"].items():
            described = field.get("description") or any(one.get("description") for one in field.get("anyOf", ()))
            assert described, f"{method.name}: {name}"


def test_parameters_in_order_begin_with_those_that_are_required():
    assert in_order(METHODS["pause"].params) == ["job_id", "workspace"]
    found = params_of(METHODS["answer"], rpc.Call("answer", ["notes", 3, "proceed"]))
    assert (found.job_id, found.batch, found.action) == ("notes", 3, "proceed")


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("status", {}),
        ("status", {"job_id": 7}),
        ("status", {"job_id": "notes", "colour": "red"}),
        ("status", {"job_id": "x" * 5000}),
        ("status", ["a", "b", True, 4]),
        ("submit", {}),
        ("submit", {"file": "/a", "job_id": "b"}),
        ("submit", {"text": "name: a"}),
        ("submit", {"file": "/a", "priority": 0}),
        ("submit", {"file": "/a", "priority": 1001}),
        ("submit", {"file": "/a", "limit": -1}),
        ("submit", {"file": "/a", "yes": "no"}),
        ("answer", {"job_id": "notes", "batch": 1, "action": "explode"}),
        ("retry", {"job_id": "notes", "batches": [0]}),
        ("list", {"limit": 10_000}),
        ("watch", {"since_seq": 1.5}),
    ],
)
def test_parameters_that_do_not_fit_are_refused(name, params):
    with pytest.raises(ConductorError) as caught:
        params_of(METHODS[name], rpc.Call(name, params))
    assert caught.value.number == rpc.INVALID_PARAMS


@given(st.sampled_from(sorted(METHODS)), st.dictionaries(st.text(max_size=10), JSON, max_size=4) | st.lists(JSON))
def test_no_parameters_do_worse_than_being_refused(name, params):
    try:
        found = params_of(METHODS[name], rpc.Call(name, params))
    except ConductorError as error:
        assert error.number == rpc.INVALID_PARAMS  # noqa: PT017 - or there is none
    else:
        assert isinstance(found, Params)
