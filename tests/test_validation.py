from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from mozart_nb.engine.judge import judge
from mozart_nb.engine.ports import Checker, ExpectedFile
from mozart_nb.events import RuleResult, ValidationFailed
from mozart_nb.job.outputs import RuleConfig
from mozart_nb.validation import RuleChecker


class Desk:
    """A workspace, a working directory and what it takes to check rules there."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "my workspace"
        self.work = folder / "work"
        self.workspace.mkdir()
        self.work.mkdir()
        self.values: dict[str, Any] = {"batch_num": 3, "workspace": str(self.workspace), "stage": 1, "name": "n"}

    def checker(self, *rules: dict[str, Any], **options: Any) -> RuleChecker:
        configs = [RuleConfig.model_validate(rule) for rule in rules]
        return RuleChecker(configs, workspace=self.workspace, working_directory=self.work, **options)

    def check(
        self,
        *rules: dict[str, Any],
        answer: str = "",
        baseline: Mapping[str, str] | None = None,
        before: Mapping[str, str] | None = None,
        **options: Any,
    ) -> tuple[RuleResult, ...]:
        checker: Checker = self.checker(*rules, **options)
        return asyncio.run(checker.check(self.values, answer=answer, baseline=baseline or {}, before=before or {}))

    def signatures(self, *rules: dict[str, Any]) -> dict[str, str]:
        return asyncio.run(self.checker(*rules).signatures(self.values))

    def one(self, rule: dict[str, Any], **options: Any) -> RuleResult:
        [result] = self.check(rule, **options)
        return result


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def exists(path: str, **more: Any) -> dict[str, Any]:
    return {"type": "file_exists", "path": path, **more}


def modified(path: str, **more: Any) -> dict[str, Any]:
    return {"type": "file_modified", "path": path, **more}


def contains(path: str, pattern: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_contains", "path": path, "pattern": pattern, **more}


def regex(path: str, pattern: str, **more: Any) -> dict[str, Any]:
    return {"type": "content_regex", "path": path, "pattern": pattern, **more}


def command(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "command_succeeds", "command": text, **more}


def answers(pattern: str, **more: Any) -> dict[str, Any]:
    return {"type": "answer_matches", "pattern": pattern, **more}


# --- paths ------------------------------------------------------------------------------------------------------------


def test_without_rules_there_is_nothing_to_see(desk):
    assert desk.check() == ()
    assert desk.signatures() == {}


@pytest.mark.parametrize("path", ["{workspace}/batch{batch_num}.md", "{{ workspace }}/batch{{ batch_num }}.md"])
def test_both_forms_of_placeholders_work_in_paths(path, desk):
    (desk.workspace / "batch3.md").write_text("x")
    assert desk.one(exists(path)).status == "passed"


def test_relative_paths_start_at_the_working_directory(desk):
    (desk.work / "out").mkdir()
    (desk.work / "out" / "batch3-result.md").write_text("x")
    result = desk.one(exists("./out/batch{{ batch_num }}-result.md"))
    assert result.status == "passed"
    assert result.path == str(desk.work / "out" / "batch3-result.md")


def test_a_workspace_behind_a_link_is_inside_itself(tmp_path):
    desk = Desk(tmp_path)
    (desk.workspace / "a.md").write_text("x")
    link = tmp_path / "link"
    link.symlink_to(desk.workspace)
    desk.workspace = link
    desk.values["workspace"] = str(link)
    assert desk.one(exists("{workspace}/a.md")).status == "passed"


@pytest.mark.parametrize(
    "path", ["../secret.md", "/etc/passwd", "{name}/secret.md", "link/secret.md", "link.md", "{workspace}-too/a.md"]
)
def test_a_path_that_leads_outside_fails_with_a_clear_message(path, desk, tmp_path):
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "my workspace-too").mkdir()
    (tmp_path / "my workspace-too" / "a.md").write_text("secret")
    (desk.work / "link").symlink_to(tmp_path)
    (desk.work / "link.md").symlink_to(tmp_path / "secret.md")
    desk.values["name"] = ".."
    for rule in (exists(path), modified(path), contains(path, "secret"), regex(path, "secret")):
        result = desk.one(rule)
        assert result.status == "failed"
        assert "outside the workspace and the working directory" in result.message
    assert set(desk.signatures(exists(path)).values()) == {""}


def test_in_a_rehearsal_an_absolute_path_from_outside_is_looked_for_in_the_scratch_folder(desk, tmp_path):
    [expected] = desk.checker(exists("/srv/job/out.md"), root=tmp_path).expected_files(desk.values)
    assert expected.path == str(desk.work / "srv" / "job" / "out.md")
    Path(expected.path).parent.mkdir(parents=True)
    Path(expected.path).write_text("x")
    assert desk.one(exists("/srv/job/out.md"), root=tmp_path).status == "passed"
    assert desk.one(exists("{workspace}/../secret.md"), root=tmp_path).status == "failed"


@pytest.mark.parametrize("path", ["a\0b", "n" * 300, "folder", "folder/a.md/b.md", "pipe", "loop"])
def test_what_is_no_file_fails_and_nothing_hangs(path, desk):
    (desk.work / "folder").mkdir()
    (desk.work / "folder" / "a.md").write_text("x")
    (desk.work / "loop").symlink_to("loop")
    os.mkfifo(desk.work / "pipe")
    for rule in (exists(path), modified(path), contains(path, ""), regex(path, "")):
        result = desk.one(rule)
        assert result.status == "failed"
        assert result.message


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_missing_file_says_what_was_expected_and_seen(desk):
    result = desk.one(exists("out/a.md", description="the report"))
    assert (result.rule, result.type, result.status, result.description) == (1, "file_exists", "failed", "the report")
    assert result.expected == "a file"
    assert result.actual == "nothing is there"
    assert result.message == "the report: out/a.md does not exist as a file"


def test_a_file_must_have_changed_since_the_batch_began(desk):
    rule = modified("tracking.md")
    path = desk.work / "tracking.md"
    path.write_text("before")
    baseline = desk.signatures(rule)
    unchanged = desk.one(rule, baseline=baseline, before=baseline)
    assert (unchanged.status, unchanged.evidence) == ("failed", False)
    assert unchanged.message == "tracking.md was not changed by this batch"
    assert unchanged.actual.startswith("6 bytes, last changed 2")
    path.write_text("after!")
    changed = desk.one(rule, baseline=baseline, before=baseline)
    assert (changed.status, changed.evidence) == ("passed", True)


def test_a_file_that_was_absent_counts_as_modified_once_it_is_there(desk):
    rule = modified("new.md")
    baseline = desk.signatures(rule)
    assert baseline == {str(desk.work / "new.md"): ""}
    (desk.work / "new.md").write_text("")
    assert desk.one(rule, baseline=baseline, before=baseline).status == "passed"


def test_a_change_made_by_an_earlier_attempt_of_the_batch_still_counts_but_is_no_evidence(desk):
    rule = modified("a.md")
    baseline = desk.signatures(rule)
    (desk.work / "a.md").write_text("first attempt")
    result = desk.one(rule, baseline=baseline, before=desk.signatures(rule))
    assert (result.status, result.evidence) == ("passed", False)


def test_a_baseline_of_a_workspace_that_was_moved_leaves_this_attempt_to_be_judged(desk):
    rule = modified("a.md")
    (desk.work / "a.md").write_text("old")
    before = desk.signatures(rule)
    elsewhere = {"/gone/a.md": "1:2:3"}
    assert desk.one(rule, baseline=elsewhere, before=before).status == "failed"
    (desk.work / "a.md").write_text("new")
    assert desk.one(rule, baseline=elsewhere, before=before).status == "passed"
    assert desk.one(rule, baseline=elsewhere, before={}).status == "failed"


def test_a_rewrite_of_the_same_length_within_one_tick_of_the_clock_is_seen(desk):
    rule, path = modified("a.md"), desk.work / "a.md"
    for old, new in (("aaaa", "aaab"), ("x" * 500_000 + "a", "x" * 500_000 + "b")):
        path.write_text(old)
        os.utime(path, ns=(1, 1))
        baseline = desk.signatures(rule)
        path.write_text(new)
        os.utime(path, ns=(1, 1))
        assert desk.one(rule, baseline=baseline).status == "passed"


def test_a_file_nobody_touched_keeps_its_signature(desk):
    path = desk.work / "a.md"
    path.write_text("x" * 300_000)
    first = desk.signatures(exists("a.md"))
    assert desk.signatures(exists("a.md")) == first
    copy = desk.work / "b.md"
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    copy.replace(path)
    assert desk.signatures(exists("a.md")) == first


@pytest.mark.parametrize(
    "rule", [exists("a.md"), contains("a.md", "done"), regex("a.md", "d.ne"), contains("a.md", "no")]
)
def test_every_kind_of_file_rule_gives_evidence_of_a_file_this_attempt_wrote(rule, desk):
    before = desk.signatures(rule)
    (desk.work / "a.md").write_text("done")
    assert desk.one(rule, before=before).evidence
    assert not desk.one(rule, before=desk.signatures(rule)).evidence
    assert not desk.one(rule, before={}).evidence


def test_files_are_looked_at_again_for_slow_file_systems(desk):
    path = desk.work / "late.md"

    async def main() -> tuple[RuleResult, ...]:
        asyncio.get_running_loop().call_later(0.03, path.write_text, "x")
        checker = desk.checker(exists("late.md", retry_count=10, retry_delay_ms=10))
        return await checker.check(desk.values, answer="", baseline={}, before={})

    assert asyncio.run(main())[0].status == "passed"


def test_looks_end_after_their_count(desk):
    began = time.monotonic()
    assert desk.one(exists("never.md", retry_count=3, retry_delay_ms=1)).status == "failed"
    assert time.monotonic() - began < 1


# --- content ----------------------------------------------------------------------------------------------------------


def test_text_is_found_literally_with_its_placeholders_filled_in(desk):
    (desk.work / "a.md").write_text("Batch 3 (a+b) is done {x}")
    assert desk.one(contains("a.md", "Batch {batch_num} (a+b)")).status == "passed"
    assert desk.one(contains("a.md", "{x}")).status == "passed"
    result = desk.one(contains("a.md", "Batch {{ batch_num }}!"))
    assert result.status == "failed"
    assert result.expected == "the text: Batch 3!"
    assert result.actual == "25 bytes, beginning: Batch 3 (a+b) is done {x}"
    assert result.message == "a.md does not contain the text Batch 3!"


def test_patterns_are_searched_with_values_escaped(desk):
    desk.values["name"] = "a+b"
    (desk.work / "a.md").write_text("# a+b\nVerdict: pass\n")
    assert desk.one(regex("a.md", r"^# {name}$(?s:.*)Verdict: \w{4}")).status == "failed"
    assert desk.one(regex("a.md", r"(?m)^# {name}$(?s:.*)Verdict: \w{4}")).status == "passed"


def test_windows_newlines_a_byte_order_mark_and_broken_utf8_do_not_matter(desk):
    (desk.work / "a.md").write_bytes(b"\xef\xbb\xbf# T\r\nbroken \xff here\r\n")
    assert desk.one(regex("a.md", r"^# T\nbroken � here\n$")).status == "passed"


def test_a_search_that_explodes_fails_with_the_reason_while_the_loop_lives(desk, monkeypatch):
    monkeypatch.setattr("mozart_nb.validation.verdicts.SEARCH_SECONDS", 0.2)
    (desk.work / "a.md").write_text("a" * 60 + "b")

    async def main() -> tuple[float, list[RuleResult]]:
        checker = desk.checker(regex("a.md", "(a|aa)+$"), answers("(a|aa)+$"))
        task = asyncio.create_task(checker.check(desk.values, answer="a" * 60 + "b", baseline={}, before={}))
        late = 0.0
        while not task.done():
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            late = max(late, time.perf_counter() - began)
        return late, list(await task)

    late, results = asyncio.run(main())
    assert [result.status for result in results] == ["failed", "failed"]
    assert all("was ended after 0.2 seconds" in result.message for result in results)
    assert late < 0.3


def test_an_invalid_pattern_fails_with_the_reason(desk):
    (desk.work / "a.md").write_text("x")
    for rule in (regex("a.md", "("), answers("a{999999999}")):
        result = desk.one(rule, answer="a")
        assert result.status == "failed"
        assert "is not valid" in result.message


def test_of_a_huge_file_only_the_beginning_is_searched_and_that_is_said(desk, monkeypatch):
    monkeypatch.setattr("mozart_nb.validation.files.MAX_CONTENT_BYTES", 1 << 20)
    with open(desk.work / "a.md", "wb") as file:
        file.write(b"begin")
        file.truncate(3 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"end")
    assert desk.one(contains("a.md", "begin")).status == "passed"
    result = desk.one(contains("a.md", "end"))
    assert result.status == "failed"
    assert "only the first 1 MiB were searched" in result.message


def test_texts_in_results_are_bounded_and_fit_for_a_terminal(desk):
    (desk.work / "a.md").write_text("\x1b[31mred\x1b[0m\x07" + "y" * 5000)
    result = desk.one(contains("a.md", "x" * 5000, description="d" * 5000))
    assert max(len(text) for text in (result.expected, result.actual, result.message)) <= 500
    assert "\x1b" not in result.actual
    assert "red" in result.actual


# --- answers ----------------------------------------------------------------------------------------------------------


def test_the_answer_is_searched(desk):
    assert desk.one(answers(r"VERDICT: (yes|no) for {batch_num}"), answer="…\nVERDICT: yes for 3").status == "passed"
    result = desk.one(answers(r"VERDICT"), answer="I do not know")
    assert result.message == "the answer has no match of VERDICT"
    assert result.actual == "13 characters, beginning: I do not know"
    assert desk.one(answers("x"), answer="").actual == "0 characters"


# --- commands ---------------------------------------------------------------------------------------------------------


def test_a_command_runs_in_the_workspace_unless_the_rule_says_otherwise(desk):
    (desk.workspace / "here").touch()
    (desk.work / "sub").mkdir()
    (desk.work / "sub" / "there").touch()
    assert desk.one(command("test -f here")).status == "passed"
    assert desk.one(command("test -f there", working_directory="sub")).status == "passed"
    assert desk.one(command("test -f here", working_directory="{workspace}")).status == "passed"


def test_values_are_quoted_once_in_commands_also_inside_quotes(desk):
    (desk.workspace / "a.md").touch()
    assert desk.one(command('test -f "{workspace}/a.md" && test -f {workspace}/a.md')).status == "passed"
    desk.values["name"] = "x; touch /tmp/never; '\""
    assert desk.one(command("test {name} = {{ name }}")).status == "passed"


def test_a_command_that_fails_shows_exit_code_and_the_end_of_its_output(desk):
    result = desk.one(command("seq 1000; echo 'boom' >&2; exit 3", description="the tests"))
    assert (result.status, result.could_not_run) == ("failed", False)
    assert result.expected.startswith("exit code 0 of: seq 1000")
    assert result.message.startswith("the tests: `seq 1000")
    assert result.message.endswith("exit code 3, boom")
    assert result.actual.startswith("exit code 3; it printed: …")
    assert result.actual.endswith("999\n1000\nboom")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (command("no-such-program-anywhere"), "exit code 127"),
        (command("./not-executable"), "exit code 126"),
        (command("true", working_directory="nowhere"), "cannot work in"),
        (command("sleep 30", timeout_seconds=0.1), "it was ended after 0.1 seconds"),
    ],
)
def test_a_command_that_could_not_run_or_took_too_long_is_marked(rule, said, desk):
    (desk.workspace / "not-executable").write_text("x")
    result = desk.one(rule)
    assert (result.status, result.could_not_run) == ("failed", True)
    assert said in result.message
    judged = judge(3, 1, code="", message="", results=[result])
    assert isinstance(judged, ValidationFailed)
    assert judged.code == "E203"


def test_a_failing_command_is_never_run_again(desk):
    assert desk.one(command("echo x >> runs; false", retry_count=3, retry_delay_ms=1)).status == "failed"
    assert (desk.workspace / "runs").read_text() == "x\n"


def test_a_command_killed_by_a_signal_says_so(desk):
    assert "ended by signal 9" in desk.one(command("kill -9 $$")).message


def test_in_a_rehearsal_commands_are_not_run_and_do_not_fail(desk):
    results = desk.check(command("touch ran; false"), exists("a.md", stage=2), rehearsed_commands=True)
    assert [result.status for result in results] == ["rehearsed", "failed"]
    assert not (desk.workspace / "ran").exists()


def test_commands_give_no_evidence(desk):
    assert not desk.one(command("touch a"), before={str(desk.workspace / "a"): ""}).evidence


async def test_a_cancelled_check_leaves_no_command_behind(desk):
    checker = desk.checker(command("echo $$ > shell; sleep 60 & echo $! > child; wait"))
    task = asyncio.create_task(checker.check(desk.values, answer="", baseline={}, before={}))
    child = desk.workspace / "child"
    while not (child.exists() and child.read_text()):  # noqa: ASYNC110 - the file system has no event
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for name in ("shell", "child"):
        pid = int((desk.workspace / name).read_text())
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# --- stages and conditions --------------------------------------------------------------------------------------------


def test_stages_run_in_order_and_after_a_failed_one_the_later_are_skipped(desk):
    results = desk.check(
        command("touch ran", stage=3),
        exists("missing.md", stage=2),
        command("touch second", stage=2),
        exists("{workspace}/first", stage=2),
        command("touch first", stage=1),
    )
    assert [(result.rule, result.status) for result in results] == [
        (1, "skipped"),
        (2, "failed"),
        (3, "passed"),
        (4, "passed"),
        (5, "passed"),
    ]
    assert results[0].message == "not checked, because stage 2 failed"
    assert (desk.workspace / "second").exists()
    assert not (desk.workspace / "ran").exists()


def test_rules_of_one_stage_run_in_their_order(desk):
    results = desk.check(
        exists("{workspace}/made"), command("touch made"), exists("{workspace}/made"), command("rm made")
    )
    assert [result.status for result in results] == ["failed", "passed", "passed", "passed"]


def test_a_rule_whose_condition_does_not_hold_is_left_out(desk):
    results = desk.check(
        exists("a.md", condition="batch_num == 4"),
        exists("b.md", condition="batch_num >= 2 and name == 'n'"),
        command("touch ran", condition="stage > 1"),
    )
    assert [(result.rule, result.status) for result in results] == [(2, "failed")]
    rules = (exists("a.md", condition="batch_num == 4"), exists("b.md"))
    assert list(desk.signatures(*rules)) == [str(desk.work / "b.md")]


def test_a_condition_or_placeholder_that_cannot_be_evaluated_fails_its_rule_with_the_reason(desk):
    results = desk.check(exists("a.md", condition="nmae == 1"), exists("{{ batch_num / 0 }}.md"), exists("b.md"))
    assert [result.status for result in results] == ["failed"] * 3
    assert "nmae" in results[0].message
    assert "zero" in results[1].message


def test_a_rule_that_lacks_a_field_or_needs_a_notebook_fails_with_the_reason(desk):
    rules = [
        RuleConfig.model_construct(type="file_exists", path=None, condition=None, stage=1, description=None),
        RuleConfig.model_validate({"type": "python", "function": "f"}),
    ]
    checker = RuleChecker(rules, workspace=desk.workspace, working_directory=desk.work)
    results = asyncio.run(checker.check(desk.values, answer="", baseline={}, before={}))
    assert [result.message for result in results] == [
        "the rule lacks `path`",
        "there is no function `f` here",
    ]


# --- what is expected -------------------------------------------------------------------------------------------------


def test_expected_files_are_what_rules_want_with_values_filled_in(desk):
    checker = desk.checker(
        exists("a{batch_num}.md"),
        modified("{workspace}/t.md"),
        contains("a.md", "for {batch_num}"),
        regex("a.md", r"^{batch_num}\.\d{2}$"),
        answers("ok"),
        command("true"),
        exists("left-out.md", condition="batch_num == 1"),
        exists("{{ batch_num / 0 }}.md"),
    )
    assert checker.expected_files(desk.values) == (
        ExpectedFile("file_exists", str(desk.work / "a3.md")),
        ExpectedFile("file_modified", str(desk.workspace / "t.md")),
        ExpectedFile("content_contains", str(desk.work / "a.md"), "for 3"),
        ExpectedFile("content_regex", str(desk.work / "a.md"), r"^3\.\d{2}$"),
        ExpectedFile("answer_matches", "", "ok"),
    )
