"""What makes two requests the same, part by part."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mozart_nb.engine.identity import OPTIONS, Identity, attachment_digest, content_hash
from mozart_nb.job.backends import API_FIELDS, BackendConfig

REQUEST: dict[str, Any] = {
    "family": "anthropic",
    "base_url": "",
    "model": "claude-sonnet-5",
    "options": {"max_tokens": 8192, "timeout_seconds": 1800, "api_key_env": "ANTHROPIC_API_KEY"},
    "prompt": "Name a river.",
    "attachments": ("aa.png", "bb.pdf"),
    "schema": {"type": "object", "properties": {"a": {}, "b": {}}},
}


def test_a_hash_is_thirty_two_hexadecimal_digits_and_stays_the_same_for_ever() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", content_hash(**REQUEST))
    # Written down: another value here asks every kept answer of every user again.
    assert content_hash(**REQUEST) == "ad09d99bdca78cbe0adb6fd1f994d344"


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("family", "elsewhere"),
        ("base_url", "http://127.0.0.1:8000"),
        ("model", "claude-opus-5"),
        ("prompt", "Name a river. "),
        ("attachments", ("bb.pdf", "aa.png")),
        ("attachments", ()),
        ("attachments", ("aa.png",)),
        ("schema", None),
        ("schema", {"type": "object", "properties": {"a": {}, "c": {}}}),
    ],
)
def test_every_part_of_a_request_changes_its_hash(part: str, other: Any) -> None:
    assert content_hash(**{**REQUEST, part: other}) != content_hash(**REQUEST)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "model"])
def test_every_parameter_that_shapes_an_answer_changes_the_hash(name: str) -> None:
    plain, one, other = ({**REQUEST["options"], name: value} for value in (None, 0.25, 0.5))
    hashes = {content_hash(**{**REQUEST, "options": options}) for options in (plain, one, other)}
    assert len(hashes) == 3


def test_nothing_else_of_a_backend_section_changes_the_hash() -> None:
    section = BackendConfig().model_dump(mode="json")
    others = [name for name in section if name not in OPTIONS]
    assert {"timeout_seconds", "api_key_env", "prompt_caching", "batch_overrides", "cli_model"} < set(others)
    plain = Identity(family="anthropic", options=section).of("x")
    for name in others:
        assert Identity(family="anthropic", options={**section, name: "changed"}).of("x") == plain, name


def test_every_field_of_the_api_backends_either_shapes_an_answer_or_is_known_not_to() -> None:
    apart = {"base_url", "attachments"}  # parts of their own
    harmless = {"api_key_env", "prompt_caching"}
    assert set(OPTIONS) & API_FIELDS == API_FIELDS - apart - harmless


def test_an_unset_parameter_counts_as_absent() -> None:
    with_none = {**REQUEST["options"], "temperature": None, "system": None}
    assert content_hash(**{**REQUEST, "options": with_none}) == content_hash(**REQUEST)


def test_the_order_in_which_keys_are_written_does_not_matter() -> None:
    schema = {"properties": {"b": {}, "a": {}}, "type": "object"}
    options = dict(reversed(REQUEST["options"].items()))
    assert content_hash(**{**REQUEST, "options": options, "schema": schema}) == content_hash(**REQUEST)


def test_an_address_is_the_same_with_and_without_its_last_slash() -> None:
    one, other = ({**REQUEST, "base_url": address} for address in ("http://host:1/v1/", "http://host:1/v1"))
    assert content_hash(**one) == content_hash(**other)


def test_the_usual_address_may_be_named_or_left_out() -> None:
    assert content_hash(**{**REQUEST, "base_url": "https://api.anthropic.com/"}) == content_hash(**REQUEST)


def test_parts_cannot_run_into_one_another() -> None:
    identity = Identity(family="anthropic", options={})
    assert identity.of('x2:["a"]') != identity.of("x", ("a",))
    assert identity.of("x", ("a", "b")) != identity.of("x", ('a","b',))


def test_a_prompt_may_hold_any_text() -> None:
    identity = Identity(family="anthropic", options={})
    assert identity.of("\ud800") != identity.of("\udfff")


def test_an_attachment_is_known_by_its_content_and_by_what_kind_of_file_it_is() -> None:
    png = attachment_digest("/a/b/x.PNG", b"content")
    assert png == attachment_digest("other/name.png", b"content")
    assert png != attachment_digest("x.jpg", b"content")
    assert png != attachment_digest("x.png", b"other content")
