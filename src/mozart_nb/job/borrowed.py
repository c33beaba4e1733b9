"""What a job takes from whoever starts it, put in its place before the config is validated.

Rows become `items: {given: true}`, variables join `prompt.variables`, a class becomes the JSON Schema of the answers.
From there on the config says everything: it can be frozen, compared and resumed where there is no notebook. Only the
functions of rules, and checks that a class has beyond its schema, need the notebook again; their names are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from mozart_nb.errors import MisuseError, Problem
from mozart_nb.job.answer_class import AnswerClass, NotAFormError, classes, is_type
from mozart_nb.job.answers import SCHEMA_PATH
from mozart_nb.job.document import KeyPath, Positions
from mozart_nb.job.functions import RuleFunction, UnfitFunctionError
from mozart_nb.job.given import NOTHING, Given, is_name
from mozart_nb.job.items import ItemTable
from mozart_nb.job.model import JobConfig
from mozart_nb.job.names import VARIABLES
from mozart_nb.job.plain import NotPlainError, plain
from mozart_nb.job.report import Notice, locate, nearest, notice, show_value

REPLACED: Final = "V127"
"""V-code of a variable in the job file that a given one takes the place of."""

_A_CLASS: Final = "a pydantic class, a dataclass, a TypedDict, or a dict with a JSON Schema"


@dataclass(frozen=True)
class Borrowed:
    """The parts of a job that live in a notebook. Only the names are frozen with the job.

    `class_name` is the class that the answers' schema was made of, also where `answer_class` itself is not at hand;
    `class_has_checks` says whether it checks more than its schema. `unfit` has the functions that cannot be called, and
    why; `variables` are the names of those that were given, whose values are in the config.
    """

    functions: Mapping[str, RuleFunction] = field(default_factory=dict)
    answer_class: AnswerClass | None = None
    class_name: str = ""
    class_has_checks: bool = False
    unfit: Mapping[str, str] = field(default_factory=dict)
    variables: tuple[str, ...] = ()


@dataclass
class _Taking:
    """Puts what was given into the mapping of a config, and gathers what is wrong with it."""

    data: dict[str, Any]
    given: Given
    positions: Positions
    file: str
    is_there: Callable[[str], bool]
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    answer_class: AnswerClass | None = None
    functions: dict[str, Any] = field(default_factory=dict)
    table: ItemTable | None = None

    def refuse_given(self, message: str, *, value: str = "", allowed: str) -> None:
        """About something that stands nowhere in the job file."""
        self.problems.append(Problem(message, value=value, allowed=allowed))

    def refuse(self, path: KeyPath, message: str, **more: Any) -> None:
        self.problems.append(locate(path, self.positions, message, file=self.file, **more))

    # --- rows ---------------------------------------------------------------------------------------------------------

    def rows(self) -> None:
        rows, named = self.given.rows, self.data.get("items")
        if rows is None:
            if isinstance(named, dict) and named.get("given"):
                allowed = "in a notebook `--items df`, in Python `Job.load(…, items=df)`"
                self.refuse(("items", "given"), "no rows were given when the job was started", allowed=allowed)
            return
        is_named = isinstance(named, dict) and bool(set(named) - {"given"})
        if is_named and self.given.is_kept:
            return
        if is_named:
            allowed = "one of them: remove the section `items`, or start the job without `--items`"
            self.refuse(("items",), "rows were given, and the job file names rows too", allowed=allowed, at_key=True)
            return
        self.data["items"] = {"given": True}
        self.table = self._table(rows)
        if self.table is not None:
            self._amount(len(self.table))

    def _table(self, rows: Sequence[Any]) -> ItemTable | None:
        """The rows as a resumed job will read them, so that every run renders the same prompts."""
        if isinstance(rows, str | bytes) or not isinstance(rows, Sequence):
            kind = type(rows).__name__
            self.refuse_given(f"a value of type {kind} cannot be the items of a job", allowed="a DataFrame, or a list")
        elif not rows:
            self.refuse_given("there are no rows: what was given as items is empty", allowed="at least one row")
        elif isinstance(rows, ItemTable):
            return rows
        else:
            return self._encoded(rows)
        return None

    def _encoded(self, rows: Sequence[Any]) -> ItemTable | None:
        lines = []
        for number, row in enumerate(rows, start=1):
            try:
                lines.append(msgspec.json.encode(plain(row)) + b"\n")
            except (NotPlainError, UnicodeEncodeError) as error:
                at, advice = getattr(error, "at", ""), getattr(error, "advice", "whole characters")
                where = f"row {number}, `{at.lstrip('.')[:60]}`" if at else f"row {number}"
                self.refuse_given(f"{where}: {error}", allowed=advice)
                return None
        return ItemTable(b"".join(lines))

    def _amount(self, count: int) -> None:
        batch = self.data.get("batch")
        if not isinstance(batch, dict):
            return
        for key in ("total_items", "start_item"):
            wanted = batch.get(key)
            if isinstance(wanted, int) and wanted > count:
                message = f"`batch.{key}` is more than the {count:,} rows that were given"
                allowed = f"at most {count:,}, or leave it out"
                self.refuse(("batch", key), message, value=str(wanted), allowed=allowed)

    # --- variables ----------------------------------------------------------------------------------------------------

    def variables(self) -> None:
        given = {name: self._plain(name, value) for name, value in self.given.variables.items()}
        prompt = self.data.setdefault("prompt", {}) if given else None
        written = prompt.get("variables", {}) if isinstance(prompt, dict) else None
        if not given or not isinstance(prompt, dict) or not isinstance(written, dict):
            return  # the config says itself what is wrong with those
        for name in given:
            if name in written and written[name] != given[name]:
                path = ("prompt", "variables", name)
                message = f"the variable `{name}` that was given takes the place of the one written here"
                self.notices.append(notice(REPLACED, locate(path, self.positions, message, file=self.file)))
        prompt["variables"] = {**written, **given}

    def _plain(self, name: Any, value: Any) -> Any:
        if not isinstance(name, str) or not name.isidentifier():
            allowed = "letters, digits and `_`"
            self.refuse_given("this is no name of a variable", value=show_value(name), allowed=allowed)
        try:
            return plain(value)
        except NotPlainError as error:
            where = f"`{name}{error.at[:60]}`: " if error.at else ""
            message = f"the variable `{name}` ({type(value).__name__}) cannot stand in a prompt: {where}{error}"
            self.refuse_given(message, allowed=error.advice)

    # --- the class of the answers -------------------------------------------------------------------------------------

    def schema(self) -> None:
        answer = self.data.get("answer")
        written = answer.get("schema") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or written is None or isinstance(written, dict | list | bool | int | float):
            return  # a schema as it stands, or what the config says itself is wrong
        found = self._named_form(written) if isinstance(written, str) else written
        if isinstance(found, str):
            return
        answer["schema"] = self._as_schema(written, found)

    def _named_form(self, name: str) -> Any:
        """What a name stands for in the notebook; the name itself where it is a file's, or nothing at all."""
        found = self.given.find(name)
        if is_type(found) or isinstance(found, Mapping):
            return found
        if self._is_file(name):
            return name
        alike = nearest(name, classes(self.given.namespace or {}))
        if self.given.namespace is None:
            message = f"there is no file `{name}`, and classes are known only in a notebook that starts the job"
        elif found is NOTHING:
            message = f"`{name}` is neither a class of this notebook nor a file"
        else:
            message = f"`{name}` is a value of type {type(found).__name__} in this notebook, and no file"
        self.refuse(SCHEMA_PATH, message, value=name, allowed=f"{_A_CLASS}, or the name of a file", near=alike)
        return name

    def _is_file(self, name: str) -> bool:
        """Also a file that is missing, where nothing else can be meant: a check of its own says so."""
        return not is_name(name) or PurePosixPath(name).suffix.lower() in (".json", ".txt") or self.is_there(name)

    def _as_schema(self, written: Any, found: Any) -> Any:
        if isinstance(found, Mapping):
            try:
                return plain(found)
            except NotPlainError as error:
                self.refuse(SCHEMA_PATH, f"this dict is no JSON Schema: {error}", allowed=error.advice)
                return {}
        name = written if isinstance(written, str) else getattr(written, "__name__", "") or str(written)
        try:
            if not is_type(found):
                raise NotAFormError(f"it is a value of type {type(found).__name__}")
            self.answer_class = AnswerClass.of(name, found)
        except NotAFormError as error:
            self.refuse(SCHEMA_PATH, f"`{name}` cannot be the form of answers: {error}", value=name, allowed=_A_CLASS)
            return {}
        return dict(self.answer_class.schema)

    # --- functions ----------------------------------------------------------------------------------------------------

    def callables(self) -> None:
        """Functions that a mapping holds themselves; the config keeps their names."""
        rules = self.data.get("validations")
        for index, rule in enumerate(rules if isinstance(rules, list) else ()):
            function = rule.get("function") if isinstance(rule, dict) else None
            if function is None or isinstance(function, str):
                continue
            name = str(getattr(function, "__name__", type(function).__name__))
            if self.functions.setdefault(name, function) is not function:
                message = f"two functions are called `{name}`"
                self.refuse(("validations", index, "function"), message, allowed="functions with different names")
            rule["function"] = name


@dataclass(frozen=True)
class Taken:
    """What came of it: the mapping of the config is changed, and these are to be told."""

    problems: list[Problem]
    notices: list[Notice]
    answer_class: AnswerClass | None
    functions: Mapping[str, Any]
    rows: ItemTable | None


def take_in(
    data: dict[str, Any], given: Given, positions: Positions, file: str, is_there: Callable[[str], bool]
) -> Taken:
    """Put rows, variables and the class of the answers into `data`, the canonical mapping of a config.

    `is_there` tells whether the job file may mean a file by a name.
    """
    taking = _Taking(data, given, positions, file, is_there)
    for take in (taking.rows, taking.variables, taking.schema, taking.callables):
        take()
    return Taken(taking.problems, taking.notices, taking.answer_class, taking.functions, taking.table)


# --- functions of rules -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unfit:
    """A rule whose function cannot be called, and why."""

    name: str
    path: KeyPath
    error: UnfitFunctionError


def functions_of(
    config: JobConfig, given: Given, direct: Mapping[str, Any] | None = None
) -> tuple[dict[str, RuleFunction], list[Unfit]]:
    """The functions that the rules of a job name, and what is wrong with the others. `direct` are those at hand."""
    found: dict[str, RuleFunction] = {}
    unfit = []
    known = _known(config)
    for name, path in _named_functions(config):
        try:
            found[name] = RuleFunction.of(name, _bound(name, given, direct or {}), known)
        except UnfitFunctionError as error:
            unfit.append(Unfit(name, path, error))
    return found, unfit


def _named_functions(config: JobConfig) -> Iterator[tuple[str, KeyPath]]:
    for index, rule in enumerate(config.validations):
        if rule.type == "python" and rule.function is not None:
            yield rule.function, ("validations", index, "function")


def _known(config: JobConfig) -> frozenset[str]:
    """What templates may use, `item` only where there is one."""
    known = VARIABLES | config.prompt.variables.keys()
    has_item = config.items is not None and config.batch.size == 1
    return known if has_item or "item" in config.prompt.variables else known - {"item"}


def _bound(name: str, given: Given, direct: Mapping[str, Any]) -> Any:
    found = direct.get(name, given.find(name))
    if found is not NOTHING:
        return found
    if given.namespace is None:
        raise UnfitFunctionError(f"`{name}` is a function of a notebook, and there is none here")
    bound = [one for one in given.names_of(object) if callable(given.find(one)) and not is_type(given.find(one))]
    message, allowed = f"there is no function `{name}` in this notebook", "a function that was defined before"
    raise UnfitFunctionError(message, value=name, allowed=allowed, near=nearest(name, bound))


# --- again, from a frozen plan ----------------------------------------------------------------------------------------


def marks(borrowed: Borrowed) -> dict[str, Any]:
    """What a frozen job keeps of it: names, as JSON data."""
    return {
        "functions": [*borrowed.functions, *borrowed.unfit],
        "answer_class": borrowed.class_name,
        "class_has_checks": borrowed.class_has_checks,
        "variables": list(borrowed.variables),
    }


def borrow_again(config: JobConfig, given: Given, marks: Mapping[str, Any]) -> Borrowed:
    """The same parts for a job that was frozen, as far as they are in the notebook that looks at it now."""
    functions, unfit = functions_of(config, given)
    name = str(marks.get("answer_class", ""))
    return Borrowed(
        functions,
        _same_class(name, given, config.answer.json_schema),
        name,
        bool(marks.get("class_has_checks", False)),
        {one.name: one.error.message for one in unfit},
        tuple(map(str, marks.get("variables", ()))),
    )


def _same_class(name: str, given: Given, schema: Any) -> AnswerClass | None:
    """The class as it was; another one that now has its name is none."""
    found = given.find(name) if name else NOTHING
    try:
        again = AnswerClass.of(name, found) if is_type(found) else None
    except NotAFormError:
        return None
    return again if again is not None and again.schema == schema else None


def named_functions(config: JobConfig) -> list[str]:
    """The functions of a notebook that the rules of a job call, by name, in order."""
    return list(dict.fromkeys(name for name, _ in _named_functions(config)))


def require_functions(config: JobConfig, borrowed: Borrowed) -> None:
    """Raise `MisuseError` when a rule's function is not at hand: sessions would be paid for that nobody can check."""
    for name, path in _named_functions(config):
        if name not in borrowed.functions:
            why = borrowed.unfit.get(name, "there is no notebook here")
            raise MisuseError(
                f"this job has a rule of the notebook function `{name}` ({'.'.join(map(str, path))}): {why}",
                hint=f"open it in the notebook that defines `{name}`: run that cell, then `%mozart resume "
                f"{config.job_id}`, or in Python `Job.open('{config.job_id}', namespace=globals())`",
                job_id=config.job_id,
            )


def left_out(borrowed: Borrowed) -> list[str]:
    """What cannot be checked here although the notebook did so, one sentence each."""
    if not borrowed.class_has_checks or borrowed.answer_class is not None:
        return []
    return [
        f"answers are checked against the schema of `{borrowed.class_name}` only: the class itself, with its "
        "validators, is not here as it was when the job was planned"
    ]
