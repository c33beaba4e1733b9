"""Reads answers that must be JSON, and says what is wrong with those that are not what was asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from mozart_nb.engine.ports import AnswerReading
from mozart_nb.errors import ConfigError, Problem
from mozart_nb.events import RuleResult
from mozart_nb.job.answer_class import AnswerClass
from mozart_nb.job.answer_schema import SEARCH_SECONDS, SchemaFaultError, compile_schema
from mozart_nb.job.answers import SCHEMA_PATH, AnswerForm, form_of
from mozart_nb.job.model import AnswerConfig
from mozart_nb.validation._answer_faults import MOST_FAULTS, counted, fault_at, fault_of, message_of, shown
from mozart_nb.validation._json_text import NotJsonError, find_json, require_storable
from mozart_nb.validation.aside import run_aside

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

THREAD_CHARACTERS: Final = 64 * 1024
"""Longer answers are read in a thread, so that they do not hold up the event loop."""

CLASS_SECONDS: Final = 60.0
"""How long a class of the notebook may take to check one answer."""

_QUICK_SECONDS: Final = 0.02
_ANY_OBJECT: Final = {"type": "object"}


class JsonContract:
    """Answers are JSON, of the form that the job file asks for (`engine.ports.AnswerContract`).

    With `answer_class` they must satisfy the class itself as well, once they are valid against its schema. The schema
    is compiled with the first answer, in a thread. `read` raises `ConfigError` when it cannot be used, which `validate`
    finds beforehand; no answer makes it raise anything.
    """

    wants_data = True

    def __init__(
        self,
        form: AnswerForm,
        answer_class: AnswerClass | None = None,
        fair: Callable[[], float] = time.monotonic,
    ) -> None:
        self._form = form
        self._class = answer_class
        self._fair = fair
        self._validator: Validator | None = None

    @classmethod
    def of(
        cls,
        answer: AnswerConfig,
        texts: Mapping[str, str],
        answer_class: AnswerClass | None = None,
        fair: Callable[[], float] = time.monotonic,
    ) -> JsonContract:
        """The contract of a job. `texts` are the files its config names. Raises `ConfigError`."""
        return cls(form_of(answer, texts), answer_class, fair)

    def schema(self, rows: int) -> Mapping[str, Any] | None:
        """The schema of the whole answer, an object at its top; None where any JSON will do."""
        return self._form.schema(rows)

    def instructions(self, rows: int) -> str:
        """What the prompt says about the form; also where the schema is sent as structured output.

        A model that knows the schema while it thinks fills it in better than one that meets it only when it writes,
        and not every service can enforce every keyword.
        """
        return self._form.instructions(rows)

    async def read(self, text: str, data: Any, rows: int) -> AnswerReading:
        """The answer without the object it was sent in, or what is wrong with it. See the port."""
        if self._needs_validator:
            self._validator = await asyncio.to_thread(self._compiled)
        reading = await self._by_schema(text, data, rows)
        if reading.fault is not None or self._class is None:
            return reading
        if not self._class.has_checks and data is None and len(text) <= THREAD_CHARACTERS:
            return self._fault_of_class(reading.data) or reading
        return await self._by_class(reading)

    async def _by_schema(self, text: str, data: Any, rows: int) -> AnswerReading:
        if len(text) <= THREAD_CHARACTERS and (data is None or text):  # the text of data is as long as they are
            quick = SEARCH_SECONDS.set(_QUICK_SECONDS)
            try:
                return self._read(text, data, rows)
            except TimeoutError:  # a slow pattern gets more time, but not here
                pass
            finally:
                SEARCH_SECONDS.reset(quick)
        return await asyncio.to_thread(self._patiently, text, data, rows)

    async def _by_class(self, reading: AnswerReading) -> AnswerReading:
        """Validators are somebody's own code and may do anything, so they run beside the loop."""
        try:
            ended = await run_aside(lambda: self._fault_of_class(reading.data), seconds=CLASS_SECONDS, fair=self._fair)
        except TimeoutError:
            return _fault(f"the class of the answers took longer than {CLASS_SECONDS:g} seconds to check it")
        if ended.error is not None:
            return _fault(f"the class of the answers could not check it: {ended.error!r:.200}")
        return ended.value or reading

    def _fault_of_class(self, value: Any) -> AnswerReading | None:
        check = self._class
        if check is None:
            return None
        numbered = enumerate(value, 1) if self._form.per_item else [(0, value)]
        return _told(fault_at(at, said, item) for item, one in numbered for at, said in check.faults(one))

    def read_now(self, text: str, rows: int) -> AnswerReading:
        """As `read`, for whoever looks at answers afterwards and has time. Blocks. The class is not asked again."""
        if self._needs_validator:
            self._validator = self._compiled()
        return self._patiently(text, None, rows)

    @property
    def _needs_validator(self) -> bool:
        return self._validator is None and (self._form.written is not None or self._form.per_item)

    def _compiled(self) -> Validator:
        try:
            return compile_schema(_ANY_OBJECT if self._form.written is None else self._form.written)
        except SchemaFaultError as fault:
            path = ".".join(map(str, (*SCHEMA_PATH, *fault.at)))
            raise ConfigError([Problem(fault.message, path=path)]) from None

    def _patiently(self, text: str, data: Any, rows: int) -> AnswerReading:
        try:
            return self._read(text, data, rows)
        except TimeoutError:
            return _fault("a text in it takes too long to match against the pattern of the schema: make it shorter")

    def _read(self, text: str, data: Any, rows: int) -> AnswerReading:
        try:
            value = find_json(text) if data is None else data
            require_storable(value)
        except NotJsonError as error:
            return _fault(str(error))
        value = self._form.unwrap(value)
        try:
            fault = self._fault_in(value, rows)
        except RecursionError:
            fault = _fault("the answer is nested too deeply")
        return fault or AnswerReading(value)

    def _fault_in(self, value: Any, rows: int) -> AnswerReading | None:
        validator = self._validator
        if validator is None:
            return None
        if not self._form.per_item:
            return _told(_errors(validator, value))
        if not isinstance(value, list):
            return _fault(f"the answer is not a list of {rows} but {shown(value)}", expected=_list_of(rows))
        if len(value) != rows:
            return _fault(f"the list has {counted(value)}, but the batch has {rows}", expected=_list_of(rows))
        return _told(fault for number, row in enumerate(value, 1) for fault in _errors(validator, row, number))


def _errors(validator: Validator, value: Any, item: int = 0) -> Iterator[str]:
    return (fault_of(error, item) for error in validator.iter_errors(value))


def _told(faults: Iterator[str]) -> AnswerReading | None:
    found = list(islice(faults, MOST_FAULTS + 1))
    if not found:
        return None
    return _fault(message_of(found[:MOST_FAULTS], more=len(found) > MOST_FAULTS))


def _list_of(rows: int) -> str:
    return f"a list of {rows}: one entry for each item, in the order of the items"


def _fault(message: str, *, expected: str = "") -> AnswerReading:
    return AnswerReading(fault=RuleResult(rule=0, type="answer", status="failed", expected=expected, message=message))
