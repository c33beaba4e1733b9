"""Foreign text in HTML: it is shown, whatever it says, and brings along no tag, no attribute and no secret."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.html_pages import Page
from support.jobs_to_look_at import ALL, NOW, RUNNING, WAITING, details, error_group

from mozart_nb.consumers.progress import RunningBatch
from mozart_nb.jupyter.looks.details import batch_html, log_html
from mozart_nb.jupyter.looks.errors import errors_html
from mozart_nb.jupyter.looks.head import announcement, badge, head
from mozart_nb.jupyter.looks.static import static_html, static_text
from mozart_nb.jupyter.looks.table import BatchRow, table
from mozart_nb.jupyter.looks.text import bounded, escaped, escaped_line, shown, shown_line

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</pre></details></table></div><iframe src=javascript:alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "[click](javascript:alert(1))",
    "--><svg/onload=alert(1)>",
    "</style><style>*{display:none}",
    "&lt;b&gt; &amp;lt; &#60;",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07",
    "\u202egnp.exe\u2066 \u200b\ufeff\U000e0041",
    "\ud800 \x00 \x9b31m",
    "$x^2$ \\(y\\) $$z$$",
]


def rendered(text: str) -> dict[str, str]:
    """Every piece of HTML, with `text` wherever foreign text may stand."""
    waits = tuple(replace(wait, message=text, source=text) for wait in WAITING.waits)
    running = (RunningBatch(5, 2, "retry", "working", 45.0, 2.0, 100, text),)
    job = replace(WAITING, name=text, job_id=text, reason=text, code=text, waits=waits, running_batches=running)
    row = BatchRow(1, 1, 5, "failed", 1, code=text, message=text)
    groups = [error_group(text)]
    return {
        "head": head(job, notes=[text], busy_seconds=2.0),
        "settled head": head(replace(job, status="failed")),
        "announcement": announcement(job),
        "badge": badge(text),
        "table": table([row], text),
        "details": batch_html(details(text), now=NOW, job_id=text),
        "log": log_html(details(text).log, number=1, job_id=text),
        "errors": errors_html(groups),
        "static": static_html(job, None, [row], text, as_of=NOW, errors=groups, hint=text),
    }


foreign = st.one_of(
    st.text(st.characters(), max_size=80),
    st.lists(st.sampled_from([*HOSTILE, "<", ">", '"', "'", "&", "=", "/", "-->", "]]>"]), max_size=6).map("".join),
)


OURS = {name: Page(html).elements for name, html in rendered("xx").items()}


@settings(max_examples=60, deadline=None)
@given(foreign)
@example("\x00")
@example("<div")
def test_foreign_text_brings_along_no_tag_and_no_attribute(text: str) -> None:
    for name, html in rendered(f"x{text}x").items():
        page = Page(html)
        assert page.elements == OURS[name], name
        assert not page.problems, name


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_read_as_it_stands(text: str) -> None:
    seen = " ".join(shown_line(text, 60).split())
    for name, html in rendered(f"said: {text}").items():
        assert seen[:30] in " ".join(Page(html).text.split()) or name in {"badge", "announcement"}, name


def test_no_piece_has_a_link_a_script_or_a_handler() -> None:
    for html in rendered("http://example.com javascript:alert(1)").values():
        for tag, attributes in Page(html).elements:
            assert tag not in {"a", "script", "iframe", "form", "input", "button", "svg", "object", "link", "meta"}
            assert not {name for name in attributes if name.startswith("on") or name in {"href", "src"}}


@settings(max_examples=40, deadline=None)
@given(foreign)
def test_nothing_steers_the_screen_or_the_direction_of_writing(text: str) -> None:
    unseen = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x1B, 0, 0x9B)}
    for html in rendered(text).values():
        assert not unseen & set(html)
        html.encode()  # no half of a surrogate pair either


def test_secrets_are_masked_everywhere() -> None:
    secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789"
    for name, html in rendered(f"the key {secret} was refused").items():
        assert secret[10:] not in html, name
    assert secret[10:] not in static_text(replace(RUNNING, name=secret, reason=f"key {secret}", status="failed"))


@pytest.mark.parametrize("length", [100_000, 1_000_000])
def test_one_long_line_is_cut(length: int) -> None:
    for name, html in rendered("x" * length).items():
        assert len(html) < 100_000, name


def test_every_job_gives_well_formed_pieces() -> None:
    for job in ALL:
        for html in (head(job, notes=["a note"]), static_html(job, as_of=NOW)):
            assert not Page(html).problems


def test_a_line_is_flat_and_a_text_keeps_its_lines() -> None:
    assert escaped_line("a\n\n  b\tc") == "a b c"
    assert escaped("a\n\tb < c") == "a\n\tb &lt; c"
    assert shown_line("x" * 300, 10) == "x" * 9 + "…"
    assert shown("x" * 300, 10) == "x" * 9 + "…"
    assert shown("x" * 20_000, 10_000).endswith("…")
    assert shown(12) == "12"


def test_right_to_left_scripts_are_shown_as_they_are() -> None:
    assert escaped("שלום عالم") == "שלום عالم"


@pytest.mark.parametrize("piece", ["x", "<", '"', "ü", "語", "\n"])
def test_a_bounded_text_keeps_its_beginning_and_its_end(piece: str) -> None:
    text = "first " + piece * 50_000 + " last"
    html, kept = bounded(text, 3_000)
    assert len(html.encode()) <= 3_000
    assert html.startswith("first ")
    assert html.endswith(" last")
    assert f"… {len(text) - kept:,} characters left out …" in html
    assert bounded("short", 3_000) == ("short", 5)


def test_a_bounded_text_is_masked_before_it_is_cut() -> None:
    secret = "sk-ant-api03-" + "abcdefgh" * 8
    for before in range(0, 80, 7):
        html, _ = bounded("x" * (300 - before) + " " + secret + " " + "y" * 300, 200)
        assert not any(secret[at : at + 12] in html for at in range(8, len(secret) - 12))
