"""The table of checks (V-codes), and what a rule is given and gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

from mozart_nb.errors import ConfigError
from mozart_nb.job.document import KeyPath
from mozart_nb.job.load import LoadedJob
from mozart_nb.job.plan import Plan, plan_job
from mozart_nb.job.prompt import BatchContext, context_for
from mozart_nb.job.report import Respelling


class Severity(StrEnum):
    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"


@dataclass(frozen=True, slots=True)
class VCode:
    """One row of the table of checks."""

    code: str
    severity: Severity
    meaning: str
    fixed_by: str = ""
    """What `validate --fix` does about it where the case is clear; empty when people have to decide."""

    @property
    def auto_fixable(self) -> bool:
        return bool(self.fixed_by)


_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO
_RESPELLS: Final = "corrects a misspelling that can only mean one thing"

V_CODES: Final[dict[str, VCode]] = {
    row.code: row
    for row in (
        VCode("V001", _E, "a template or expression has a syntax error, or an expression names an unknown variable"),
        VCode("V002", _E, "the folder that should hold the workspace does not exist", fixed_by="makes it"),
        VCode(
            "V003",
            _E,
            "a template file, a file of a prompt extension, one with a schema or one with items does not exist",
        ),
        VCode("V004", _E, "the system prompt file does not exist"),
        VCode("V005", _E, "the working directory does not exist"),
        VCode("V007", _E, "a regular expression is not valid"),
        VCode("V008", _E, "a rule lacks a field that its type needs"),
        VCode("V101", _W, "a template uses a variable that does not exist", fixed_by=_RESPELLS),
        VCode("V103", _W, "a time limit is very short (below 60 seconds)"),
        VCode("V104", _I, "a time limit is very long (above 2 hours)"),
        VCode("V106", _W, "a pattern is empty, so it matches everything"),
        VCode("V107", _W, "a file whose content a rule looks at does not exist yet"),
        VCode("V108", _W, "an unknown key", fixed_by=_RESPELLS),
        VCode("V109", _W, "a condition that holds for no batch, so its rule never applies"),
        VCode("V110", _E, "a rule's path lies outside workspace and working directory"),
        VCode("V111", _W, "a placeholder that does not exist", fixed_by=_RESPELLS),
        VCode("V112", _W, "an environment variable that should hold a key, an address or a header is not set"),
        VCode("V113", _W, "the `claude` program is not on PATH"),
        VCode("V114", _W, "the estimated cost is above a limit of `cost_limits`"),
        VCode("V115", _W, "the prompt of some batch is over a token threshold"),
        VCode("V116", _I, "no rule checks what the batches produce"),
        VCode("V117", _W, "`skip_permissions` as root, which `claude` refuses unless IS_SANDBOX=1 is set"),
        VCode("V118", _W, "a field of another backend, which is ignored"),
        VCode("V119", _W, "a known key or section without effect in this version"),
        VCode("V120", _W, "a key of a per-batch map for which there is no batch (or stage)"),
        VCode("V121", _W, "no template: the prompt only names the batch and its items"),
        VCode("V122", _I, "per-batch keys are stages because of a fan-out: which batches they stand for"),
        VCode("V123", _W, "no price is known for a model, so its cost will be unknown"),
        VCode("V124", _E, "a cost limit and a model without a price: the limit cannot hold"),
        VCode("V125", _E, "the schema of the answer cannot be used"),
        VCode("V126", _W, "settings of `answer` that do not fit together"),
        VCode("V127", _W, "a variable that was given (`--var`) takes the place of one in the job file"),
        VCode("V128", _E, "a rule's function belongs to a notebook, and there is none here"),
        VCode("V129", _W, "a key, a password or the address of a webhook stands in the job file itself"),
        VCode("V130", _W, "the workspace cannot be written to"),
        VCode("V131", _W, "the log file cannot be written where it should be"),
        VCode("V132", _W, "name or workspace are of another version than the file (`-v3.yaml`)"),
        VCode("V133", _W, "the job file of a hook does not exist yet"),
        VCode("V134", _W, "`isolation` where there is no git repository, or no `git` on PATH"),
        VCode("V135", _W, "with `isolation`, a rule looks into the checkout, where sessions do not work"),
    )
}


class Files(Protocol):
    """The little that rules may ask of the file system."""

    def exists(self, path: Path) -> bool: ...

    def is_dir(self, path: Path) -> bool: ...

    def is_writable(self, path: Path) -> bool:
        """Whether files may be made in the folder `path`."""
        ...

    def read_text(self, path: Path) -> str:
        """The file's text. Raises OSError, or ValueError for what is no UTF-8 or no file name."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's own words for what it found, without position.

    `line_below` counts from 1 within the text at `path` (a template). `respells` is what a misspelled name in it must
    be, with the models' path.
    """

    path: KeyPath
    message: str
    suggestion: str = ""
    line_below: int = 0
    creates: Path | None = None
    respells: Respelling | None = None


@dataclass(frozen=True)
class Subject:
    """What rules look at."""

    loaded: LoadedJob
    files: Files
    env: Mapping[str, str] = field(default_factory=dict)
    is_root: bool = False

    def text_of(self, path: str) -> str | None:
        """The text of a file named in the job file, or None when it cannot be read."""
        try:
            return self.files.read_text(self.loaded.resolve(path))
        except (OSError, ValueError):
            return None

    @cached_property
    def plan(self) -> Plan | None:
        """The batches, None when planning will say what is wrong. Rows are not read: as many are assumed as needed."""
        config, batch = self.loaded.config, self.loaded.config.batch
        named = [*batch.dependencies, *batch.fan_out, *chain.from_iterable(batch.dependencies.values())]
        assumed = batch.start_item - 1 + batch.size * max(named, default=1)
        try:
            return plan_job(config, assumed if batch.total_items is None else batch.total_items)
        except ConfigError:
            return None

    def context_of(self, number: int, plan: Plan) -> BatchContext:
        """The variables of a batch, without rows."""
        config = self.loaded.config
        workspace = str(self.loaded.workspace_path)
        return context_for(plan, number, workspace=workspace, job_name=config.name, prompt=config.prompt)


Rule = Callable[[Subject], Iterator[Finding]]

NOTICED: Final = frozenset({"V108", "V118", "V119", "V120", "V121", "V122", "V127"})
"""Codes that loading finds; `lint` hands them on."""
