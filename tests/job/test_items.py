"""Rows from files, globs and commands, and rows kept for a run."""

from __future__ import annotations

import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.errors import CheckpointCorruptError, ConfigError, Problem
from mozart_nb.job.items import ItemTable, dump_items, read_items
from mozart_nb.job.model import ItemsConfig

Write = Callable[[str, bytes | str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def from_file(path: Path) -> list[Any]:
    return read_items(ItemsConfig(file=path.name), path.parent)


def mistake(path: Path) -> Problem:
    with pytest.raises(ConfigError) as caught:
        from_file(path)
    (problem,) = caught.value.problems
    assert problem.path == "items.file"
    assert problem.file == str(path)
    return problem


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", "id,text\n1,one\n2,two\n", [{"id": "1", "text": "one"}, {"id": "2", "text": "two"}]),
        ("bom.csv", "\ufeffid\r\n1\r\n\r\n", [{"id": "1"}]),
        ("quoted.csv", 'id,text\n1,"a, ""b""\nc"\n2,d\n', [{"id": "1", "text": 'a, "b"\nc'}, {"id": "2", "text": "d"}]),
        ("index.csv", ",x\n0,a\n", [{"": "0", "x": "a"}]),
        ("spaces.csv", "id, name \n1, Ada \n", [{"id": "1", "name": " Ada "}]),
        ("excel.csv", "id;text\n1;a,b\n", [{"id": "1", "text": "a,b"}]),
        ("blank.csv", "\nid\n\n7\n\n\n", [{"id": "7"}]),
        ("odd.CSV", "id\n007\n", [{"id": "007"}]),
        ("a.tsv", "id\ttext\n1\ta,b\n", [{"id": "1", "text": "a,b"}]),
        ("a.jsonl", '{"id": 1}\n\n"two"\r\n[3]\n\n', [{"id": 1}, "two", [3]]),
        ("bom.jsonl", '\ufeff{"é": "\\u00e9"}', [{"é": "é"}]),
        ("a.ndjson", "1\n", [1]),
        ("huge.jsonl", f'{{"n": {10**60}, "x": 1e3}}\n', [{"n": 10**60, "x": 1000.0}]),
        ("separators.jsonl", '"a\u2028b\x85c"\n', ["a\u2028b\x85c"]),
        ("a.json", '[\n{"id": 1},\n null, "x"]\n', [{"id": 1}, None, "x"]),
        ("a.txt", "one\n two \r\n\n   \nthree\u2028still three\n\n\n", ["one", " two ", "three\u2028still three"]),
        ("bom.txt", "\ufeffone", ["one"]),
    ],
)
def test_each_format_gives_its_rows(write: Write, name: str, content: str, rows: list[Any]) -> None:
    assert from_file(write(name, content)) == rows


def test_a_field_may_be_longer_than_the_csv_modules_limit(write: Write) -> None:
    assert from_file(write("long.csv", f"text\n{'x' * 1_000_000}\n")) == [{"text": "x" * 1_000_000}]


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("a.csv", "a,b\n1,2\n1,2,3\n", 3, "a row of 3 fields under a header of 2 fields"),
        ("a.csv", 'a,b\n"x\ny",2\n1\n', 4, "a row of 1 field under a header of 2 fields"),
        ("a.csv", "a,a\n1,2\n", 1, "two columns have the same name"),
        ("a.csv", 'a\n"never closed\n\n', 3, "it is not CSV: "),
        ("a.jsonl", '{"a": 1}\n\n{"a": 1,}\n', 3, "it is not JSON: "),
        ("a.jsonl", '{"a": 1}\n{"a": NaN}\n', 2, "it is not JSON: NaN is no JSON, write null"),
        ("a.jsonl", f"1\n{'9' * 5000}\n", 2, "it is not JSON: Exceeds the limit"),
        ("a.jsonl", '1\n"\\ud800"\n', 2, "it is not JSON: "),
        ("a.jsonl", "1\n" + "[" * 100_000 + "\n", 2, "it is not JSON: "),
        ("a.json", "[\n1,\n2 3]", 3, "it is not JSON: "),
        ("a.json", '{"a": 1}', 0, "the file must hold a list of items"),
        ("a.txt", b"one\ntwo \xe9t\xe9\n", 2, "it is not text"),
        ("a.csv", b"a\n1\n\x00\n", 3, "it is not text"),
        ("a.txt", "one".encode("utf-16"), 0, "it is UTF-16"),
        ("a.parquet", b"PAR1 no", 0, "it is not parquet: "),
        ("a.csv", "", 0, "there are no items in it"),
        ("a.csv", "a,b\n", 0, "there are no items in it"),
        ("a.jsonl", "\n\n", 0, "there are no items in it"),
        ("a.json", "[]", 0, "there are no items in it"),
        ("a.txt", "  \n", 0, "there are no items in it"),
        ("a.xlsx", "x", 0, "this kind of file is not known"),
        ("noending", "x", 0, "this kind of file is not known"),
    ],
)
def test_what_cannot_be_read_names_file_and_line(
    write: Write, name: str, content: bytes | str, line: int, message: str
) -> None:
    problem = mistake(write(name, content))
    assert problem.message.startswith(message)
    assert problem.line == line


def test_a_byte_that_is_no_utf8_is_named_with_its_column(write: Write) -> None:
    problem = mistake(write("a.txt", b"one\ntwo \xe9t\xe9\n"))
    assert (problem.line, problem.column, problem.value, problem.allowed) == (2, 5, "byte 0xe9", "UTF-8")


def test_json_lines_in_a_json_file_get_a_hint(write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        from_file(write("a.json", '{"a": 1}\n{"a": 2}\n'))
    assert caught.value.hint == "a file with one object per line ends in .jsonl"


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert "No such file" in mistake(tmp_path / "gone.csv").message


def test_a_folder_is_no_file_of_items(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert "cannot be read" in mistake(tmp_path / "folder.csv").message


def test_parquet_rows_are_plain_json_data(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "n": pandas.array([2**62 + 1, None], dtype="Int64"),
            "x": [1.5, float("nan")],
            "when": pandas.to_datetime(["2026-01-02T03:04:05Z", None]),
            "tags": [["a", "b"], []],
            "what": [{"k": 1}, {"k": None}],
            "text": ["é", None],
        },
        index=[7, 9],
    )
    path = tmp_path / "a.parquet"
    frame.to_parquet(path)
    rows = from_file(path)
    assert rows[0] == {
        "n": 2**62 + 1,
        "x": 1.5,
        "when": "2026-01-02T03:04:05+00:00",
        "tags": ["a", "b"],
        "what": {"k": 1},
        "text": "é",
    }
    assert rows[1] == {"n": None, "x": None, "when": None, "tags": [], "what": {"k": None}, "text": None}
    assert list(ItemTable(b"".join(dump_items(rows)))) == rows


def test_a_named_index_of_a_frame_is_a_column(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"x": [1]}, index=pandas.Index(["a"], name="id")).to_parquet(tmp_path / "a.parquet")
    assert from_file(tmp_path / "a.parquet") == [{"x": 1, "id": "a"}]


def test_parquet_values_that_are_no_json_name_row_and_column(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"x": [1.0, float("inf")]}).to_parquet(tmp_path / "a.parquet")
    assert mistake(tmp_path / "a.parquet").message == "row 2, column `x`: an infinite number is no JSON"
    pandas.DataFrame({"b": [b"\xff"]}).to_parquet(tmp_path / "b.parquet")
    assert mistake(tmp_path / "b.parquet").message == "row 1, column `b`: bytes that are no UTF-8 text"


def test_parquet_without_its_packages_names_the_extra(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.parquet", b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # an import of it now fails
    with pytest.raises(ConfigError) as caught:
        from_file(path)
    assert caught.value.hint == "pip install 'mozart-nb[parquet]'"


# --- globs ------------------------------------------------------------------------------------------------------------


def from_glob(pattern: str, base: Path) -> list[Any]:
    return read_items(ItemsConfig(glob=pattern), base)


@pytest.fixture
def tree(write: Write, tmp_path: Path) -> Path:
    for name in ("b.md", "a.md", "a10.md", "sub/c.md", "sub/deep/d.md", "sub/x.txt", ".hidden/e.md", "we ird[1].md"):
        write(f"tree/{name}", "x")
    (tmp_path / "tree" / "folder.md").mkdir()
    return tmp_path / "tree"


def test_globs_give_paths_relative_to_the_job_file_in_order_of_name(tree: Path) -> None:
    assert from_glob("*.md", tree) == ["a.md", "a10.md", "b.md", "we ird[1].md"]
    assert from_glob("./sub/*.md", tree) == ["./sub/c.md"]


def test_two_stars_go_down_any_number_of_folders_but_not_into_hidden_ones(tree: Path) -> None:
    assert from_glob("**/*.md", tree) == ["a.md", "a10.md", "b.md", "sub/c.md", "sub/deep/d.md", "we ird[1].md"]
    assert from_glob("**/**/d.md", tree) == ["sub/deep/d.md"]


def test_absolute_globs_and_globs_upwards_work(tree: Path) -> None:
    assert from_glob(f"{tree}/sub/*.md", Path("/")) == [f"{tree}/sub/c.md"]
    assert from_glob("../*.md", tree / "sub") == [f"../{name}" for name in from_glob("*.md", tree)]


def test_folders_are_items_only_when_asked_for(tree: Path) -> None:
    assert from_glob("*/", tree) == ["folder.md/", "sub/"]
    with pytest.raises(ConfigError) as caught:
        from_glob("folder*", tree)
    assert caught.value.hint == "it matches folders only; end it with `/` to have those"


def test_a_glob_without_a_match_says_where_it_looked(tree: Path) -> None:
    with pytest.raises(ConfigError, match="no file matches") as caught:
        from_glob("*.pdf", tree)
    assert caught.value.problems[0].value == "*.pdf"
    assert str(tree) in caught.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep such names out")
def test_a_file_name_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.md")).write_text("x")
    with pytest.raises(ConfigError, match="the name of a file is not UTF-8"):
        from_glob("*.md", tmp_path)


# --- commands ---------------------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def from_command(command: str, base: Path, seconds: float = 20.0) -> list[Any]:
    return read_items(ItemsConfig(command=command), base, timeout_seconds=seconds)


@posix
def test_every_line_a_command_prints_is_an_item(tree: Path) -> None:
    assert from_command("ls *.md | sort; printf 'last\\r\\n\\n'", tree / "sub") == ["c.md", "last"]
    assert from_command("pwd", tree) == [str(tree)]


@posix
def test_a_command_reads_no_input(tmp_path: Path) -> None:
    assert from_command("cat; echo done", tmp_path) == ["done"]


@posix
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo one; echo 'no such branch' >&2; exit 3", "the command failed with exit code 3: no such branch"),
        ("kill -9 $$", "the command was ended by signal 9"),
        ("true", "the command printed no item"),
        ("printf '\\377\\n'", "it is not text"),
        ("no-such-program-here", "the command failed with exit code 127: "),
        ("a\0b", "the command cannot be started: "),
    ],
)
def test_a_command_that_fails_says_how(tmp_path: Path, command: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_command(command, tmp_path)
    assert caught.value.problems[0].message.startswith(message)
    assert caught.value.problems[0].path == "items.command"


@posix
def test_only_the_end_of_a_long_complaint_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        from_command("seq 1 5000 >&2; exit 1", tmp_path)
    assert len(str(caught.value)) < 1200
    assert "5000" in str(caught.value)


@posix
def test_a_command_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"the command took longer than 0\.2 s"):
        from_command("sleep 60 & echo $! > child; sleep 60", tmp_path, seconds=0.2)
    assert time.monotonic() - began < 20
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 2
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


# --- frozen rows ------------------------------------------------------------------------------------------------------

json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(json_data, max_size=8), st.integers(1, 8), st.integers(0, 8))
def test_frozen_rows_come_back_as_they_were(rows: list[Any], first: int, last: int) -> None:
    table = ItemTable(b"".join(dump_items(rows)))
    assert list(table) == rows
    assert len(table) == len(rows)
    assert table.rows(first, last) == rows[first - 1 : last]
    assert table[::-1] == rows[::-1]
    assert b"".join(dump_items(table)) == b"".join(dump_items(rows))


def test_a_table_behaves_like_a_list() -> None:
    table = ItemTable(b'"a"\n"b"\n"c"')
    assert (table[0], table[-1], table[1:], "b" in table, table.index("c")) == ("a", "c", ["b", "c"], True, 2)
    with pytest.raises(IndexError):
        table[3]
    assert len(ItemTable(b"")) == 0
    assert ItemTable(b"").rows(1, 5) == []


def test_a_damaged_row_names_itself_and_leaves_the_others() -> None:
    table = ItemTable(b'"a"\n{"b"\n"c"\n')
    assert table[2] == "c"
    with pytest.raises(CheckpointCorruptError, match="row 2 of the frozen items") as caught:
        table[1]
    assert caught.value.code == "E701"


def test_a_hundred_thousand_rows_weigh_little_more_than_their_text_and_are_read_at_once() -> None:
    data = b"".join(dump_items({"id": n, "text": "x" * 100} for n in range(100_000)))
    tracemalloc.start()
    try:
        table = ItemTable(data)
        assert table.rows(99_991, 100_000)[-1]["id"] == 99_999
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    began = time.perf_counter()
    for first in range(1, 100_000, 1000):
        table.rows(first, first + 9)
    assert time.perf_counter() - began < 1
