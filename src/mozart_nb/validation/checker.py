"""Checks what a batch produced against the rules of the job.

All file work of one check happens in one thread, commands run on the loop, functions of a notebook in threads of their
own. Paths are held inside the workspace and the working directory, links resolved, because the values filled into them
come from rows that nobody has checked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mozart_nb.commands import run_command
from mozart_nb.engine.ports import ExpectedFile
from mozart_nb.errors import PromptError
from mozart_nb.events import RuleResult
from mozart_nb.job.expressions import Condition, compile_condition
from mozart_nb.job.functions import RuleFunction
from mozart_nb.job.names import VARIABLES
from mozart_nb.job.outputs import REQUIRED_FIELDS, RuleConfig
from mozart_nb.job.placeholders import expand
from mozart_nb.validation import files
from mozart_nb.validation.files import Fence, Places
from mozart_nb.validation.functions import arguments, judge_function
from mozart_nb.validation.verdicts import SEARCH_SECONDS, Rule, Seen, judge_answer, judge_command, judge_file

FILE_TYPES: Final = frozenset({"file_exists", "file_modified", "content_contains", "content_regex"})

_KEPT_BATCHES: Final = 64
_QUICK_CHARACTERS: Final = 64 * 1024
_QUICK_SECONDS: Final = 0.005
# A rule about a short answer is looked at on the loop for so long; only what takes longer is worth a thread.
_PATTERN_MODES: Final[dict[str, Literal["text", "regex"]]] = {
    "content_contains": "text",
    "content_regex": "regex",
    "answer_matches": "regex",
}


class RuleChecker:
    """The rules of one job (`ports.Checker`).

    Relative paths start at `working_directory`, commands run in the workspace unless they say otherwise. With
    `rehearsed_commands` commands and functions are not run and count as passed, marked `rehearsed`; `root` is the
    scratch folder of a rehearsal. `functions` are those of the notebook, by the name that rules give. `fair` is the
    clock of time limits, in seconds; `environ` is what commands see (by default what we see). The `rule` of a result
    counts from 1 in the order of the job file. Nothing here raises for what a rule says or finds: such a rule has
    failed, with the reason.

    The same `values` object may be given to `expected_files`, `signatures` and `check`, and is then not to be changed
    in between: what was filled in for it is kept until `check`.
    """

    def __init__(
        self,
        rules: Sequence[RuleConfig],
        *,
        workspace: Path,
        working_directory: Path,
        rehearsed_commands: bool = False,
        functions: Mapping[str, RuleFunction] | None = None,
        root: Path | None = None,
        fair: Callable[[], float] = time.monotonic,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._rules = tuple(rules)
        self._places = Places(workspace, working_directory, root)
        self._rehearsed_commands = rehearsed_commands
        self._functions = functions or {}
        self._fair = fair
        self._environ = environ
        self._names_files = any(rule.type in FILE_TYPES for rule in rules)
        self._conditions: dict[str, Condition] = {}
        self._kept: dict[int, tuple[Mapping[str, Any], tuple[Rule, ...]]] = {}

    def respell(self, paths: Mapping[int, str]) -> None:
        """From now on these rules (counted from 1) have another `path`, written as in the job file."""
        numbered = enumerate(self._rules, start=1)
        self._rules = tuple(
            rule.model_copy(update={"path": paths[number]}) if number in paths else rule for number, rule in numbered
        )
        self._kept.clear()

    async def signatures(self, values: Mapping[str, Any]) -> dict[str, str]:
        """A signature per file that a rule names ("" if there is none), keyed by the absolute path."""
        if not self._names_files:
            return {}
        paths = {rule.path for rule in self._applicable(values) if rule.path}
        return await asyncio.to_thread(_signatures, self._places, paths) if paths else {}

    async def check(
        self,
        values: Mapping[str, Any],
        *,
        answer: str,
        baseline: Mapping[str, str],
        before: Mapping[str, str],
        data: Any = None,
    ) -> tuple[RuleResult, ...]:
        """Results in the order of the rules; see `ports.Checker.check`.

        On cancellation a command that runs is gone, with all its processes, before `CancelledError` leaves.
        """
        if not self._rules:
            return ()
        rules = sorted(self._applicable(values), key=lambda rule: rule.config.stage)
        self._kept.pop(id(values), None)
        inspection = _Inspection(rules, Seen(answer, baseline, before), runs_code=not self._rehearsed_commands)
        while (rule := inspection.current) is not None:
            if inspection.is_up_to_code:
                inspection.add(await self._run(rule, values, answer, data))
            elif not inspection.look_quickly():
                delay = await asyncio.to_thread(inspection.look, self._places)
                if delay:
                    await asyncio.sleep(delay)
        return tuple(sorted(inspection.results, key=lambda result: result.rule))

    def expected_files(self, values: Mapping[str, Any]) -> tuple[ExpectedFile, ...]:
        """What the rules want of whoever produces files and answer, commands left out."""
        return tuple(
            ExpectedFile(rule.type, rule.path, rule.pattern)
            for rule in self._applicable(values)
            if not rule.problem and (rule.path or rule.type == "answer_matches")
        )

    # --- filling in ---------------------------------------------------------------------------------------------------

    def _applicable(self, values: Mapping[str, Any]) -> tuple[Rule, ...]:
        """The rules of the batch that `values` belong to."""
        kept = self._kept.get(id(values))
        if kept is not None:
            return kept[1]
        rules = tuple(self._fill_in(values))
        if len(self._kept) >= _KEPT_BATCHES:
            del self._kept[next(iter(self._kept))]
        self._kept[id(values)] = values, rules  # holding `values` keeps its id from being used again
        return rules

    def _fill_in(self, values: Mapping[str, Any]) -> Iterator[Rule]:
        for number, config in enumerate(self._rules, start=1):
            try:
                if config.condition and not self._condition(config.condition, values)(values):
                    continue
                yield self._filled_in(number, config, values)
            except PromptError as error:
                yield Rule(number, config, problem=error.message)

    def _condition(self, text: str, values: Mapping[str, Any]) -> Condition:
        condition = self._conditions.get(text)
        if condition is None:
            condition = self._conditions[text] = compile_condition(text, VARIABLES.union(values))
        return condition

    def _filled_in(self, number: int, config: RuleConfig, values: Mapping[str, Any]) -> Rule:
        missing = [name for name in REQUIRED_FIELDS[config.type] if getattr(config, name) is None]
        if missing:
            return Rule(number, config, problem=f"the rule lacks `{missing[0]}`")
        if config.type == "command_succeeds":
            folder = expand(config.working_directory, values, "path") if config.working_directory else None
            where = self._places.workspace if folder is None else self._places.locate(folder)
            return Rule(number, config, command=expand(config.command or "", values, "command"), folder=where)
        if config.type == "python":
            function = self._functions.get(config.function or "")
            is_at_hand = function is not None or self._rehearsed_commands
            problem = "" if is_at_hand else f"there is no function `{config.function}` here"
            return Rule(number, config, function=function, problem=problem)
        path = self._places.locate(expand(config.path, values, "path")) if config.path else ""
        mode = _PATTERN_MODES.get(config.type)
        pattern = expand(config.pattern or "", values, mode) if mode else ""
        if config.type not in FILE_TYPES:
            return Rule(number, config, pattern=pattern)
        return Rule(number, config, path, self._places.shown(path), pattern)

    # --- commands and functions ---------------------------------------------------------------------------------------

    async def _run(self, rule: Rule, values: Mapping[str, Any], answer: str, data: Any) -> RuleResult:
        began = time.perf_counter()
        if rule.function is not None:
            given = arguments(values, answer, data, self._places.workspace)
            return _timed(await judge_function(rule, rule.function, given, self._fair), began)
        limit = rule.config.timeout_seconds
        ended = await run_command(
            rule.command, cwd=rule.folder, timeout_seconds=limit, environment=self._environ, fair=self._fair
        )
        return _timed(judge_command(rule, ended), began)


class _Inspection:
    """One check under way, rule after rule in the order of their stages; `results` are those dealt with."""

    def __init__(self, rules: Sequence[Rule], seen: Seen, *, runs_code: bool) -> None:
        self.results: list[RuleResult] = []
        self._rules = rules
        self._seen = seen
        self._runs_code = runs_code
        self._looks = 0
        self._failed_stage = 0

    @property
    def current(self) -> Rule | None:
        """The rule to deal with next, None when all are done."""
        position = len(self.results)
        return self._rules[position] if position < len(self._rules) else None

    @property
    def is_up_to_code(self) -> bool:
        """Whether the current rule is a command or a function that has to be run."""
        rule = self.current
        return self._runs_code and rule is not None and rule.is_run and not self._is_skipped(rule)

    def look_quickly(self) -> bool:
        """Deal with the current rule if that asks no disk and takes hardly any time; True when it is dealt with."""
        rule = self.current
        if rule is None or rule.path or len(self._seen.answer) > _QUICK_CHARACTERS:
            return False
        began = time.perf_counter()
        try:
            result = self._result(rule, None, _QUICK_SECONDS)
        except TimeoutError:
            return False
        self.add(_timed(result, began))
        return True

    def add(self, result: RuleResult) -> None:
        """The current rule has this result."""
        rule = self.current
        if result.status == "failed" and rule is not None and not self._failed_stage:
            self._failed_stage = rule.config.stage
        self._looks = 0
        self.results.append(result)

    def look(self, places: Places) -> float:
        """Deal with all rules up to the next that runs code; returns the seconds until the next look. Blocks."""
        fence = places.fence()
        while (rule := self.current) is not None and not self.is_up_to_code:
            began = time.perf_counter()
            result = self._result(rule, fence)
            if result.status == "failed" and rule.path and self._looks < rule.config.retry_count:
                self._looks += 1
                return max(rule.config.retry_delay_ms, 1) / 1000
            self.add(_timed(result, began))
        return 0.0

    def _is_skipped(self, rule: Rule) -> bool:
        return 0 < self._failed_stage < rule.config.stage

    def _result(self, rule: Rule, fence: Fence | None, seconds: float = SEARCH_SECONDS) -> RuleResult:
        if self._is_skipped(rule):
            return rule.skipped(self._failed_stage)
        if rule.problem:
            return rule.failed(rule.problem, rule.problem)
        if rule.is_run or rule.type == "python":
            return rule.passed("not run in a rehearsal", "rehearsed")
        try:
            if fence is not None and rule.path:
                return judge_file(rule, self._seen, fence)
            return judge_answer(rule, self._seen.answer, seconds)
        except PromptError as error:
            return rule.failed(error.message, error.message)
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            why = f"{rule.shown} cannot be read: {getattr(error, 'strerror', None) or error}"
            return rule.failed(why, why)


def _signatures(places: Places, paths: set[str]) -> dict[str, str]:
    fence = places.fence()
    return {path: _signature(fence, path) for path in sorted(paths)}


def _signature(fence: Fence, path: str) -> str:
    try:
        real = fence.resolve(path)
    except (OSError, ValueError):
        return ""
    return files.signature(real) if real is not None else ""


def _timed(result: RuleResult, began: float) -> RuleResult:
    seconds = round(time.perf_counter() - began, 3)
    return msgspec.structs.replace(result, duration=seconds) if seconds else result
