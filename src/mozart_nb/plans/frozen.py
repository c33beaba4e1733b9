"""What a run needs, frozen into the job's folder when it is planned: config, texts and items.

A job that is resumed next week runs what was planned, not what has become of the files since.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.plan import freeze_plan, read_plan
from mozart_nb.consumers.log import is_log, log_file
from mozart_nb.engine.identity import attachment_digest
from mozart_nb.errors import CheckpointCorruptError, MozartError
from mozart_nb.job.frozen import freeze, thaw
from mozart_nb.job.given import Given
from mozart_nb.job.items import ItemTable, dump_items
from mozart_nb.job.load import NOTHING_GIVEN, LoadedJob
from mozart_nb.job.outputs import WORKTREES
from mozart_nb.plans.secrets import know_secrets

CONFIG, TEXTS, ITEMS, PLACES, LABELS = "config.json", "texts.json", "items.jsonl", "places.json", "labels.json"


@dataclass(frozen=True)
class Apart:
    """Where the workspace of a job is whose state is kept elsewhere: as seen from the state's folder, and absolutely.

    A state without this is kept in the workspace itself.
    """

    relative: str
    absolute: str

    def seen_from(self, folder: Path) -> Path:
        """The workspace of a state that stands in `folder` now: moved along with it, or left where it was."""
        along = Path(os.path.normpath(folder / self.relative))
        stayed = Path(self.absolute)
        return stayed if stayed.is_dir() and not along.is_dir() else along


def apart(workspace: Path, state_folder: Path) -> Apart | None:
    """How to find `workspace` again from `state_folder`; None when they are one folder. Both are absolute."""
    if workspace == state_folder:
        return None
    try:
        relative = os.path.relpath(workspace, state_folder)
    except ValueError:  # another drive of Windows
        relative = str(workspace)
    return Apart(relative, str(workspace))


@dataclass(frozen=True)
class FrozenPlan:
    """A loaded job with the texts it names and the rows it works on. `rows` is None for a job without `items`."""

    loaded: LoadedJob
    texts: Mapping[str, str]
    rows: Sequence[Any] | None = None
    apart: Apart | None = None
    labels: Mapping[str, Any] | None = None
    """Which row is which in the table that the rows came from (`frames.index_of`)."""

    @property
    def item_count(self) -> int | None:
        return len(self.rows) if self.rows is not None else None

    @property
    def given(self) -> Given:
        """What was given besides the job file when this was planned, for whoever reads the job file anew."""
        items, prompt = self.loaded.config.items, self.loaded.config.prompt
        names = self.loaded.borrowed.variables
        return Given(
            rows=self.rows if items is not None and items.given else None,
            variables={name: prompt.variables[name] for name in names if name in prompt.variables},
            namespace=self.loaded.given.namespace,
            labels=self.labels,
            is_kept=True,
        )

    @property
    def contents(self) -> dict[str, str]:
        """What the config's digest covers besides the config itself."""
        contents = dict(self.texts)
        if self.rows is not None:
            digest = hashlib.sha256()
            for line in dump_items(self.rows):
                digest.update(line)
            contents[ITEMS] = digest.hexdigest()
        if self.apart is not None:
            # Else two projects that share a folder for their states could be taken for one job.
            contents[PLACES] = self.apart.relative
        return contents

    def write(self, layout: Layout) -> None:
        """Put it into the job's folder, all of it or nothing. Raises `CheckpointUnwritableError`."""
        files = {
            CONFIG: json.dumps(freeze(self.loaded), ensure_ascii=False, indent=1).encode(),
            TEXTS: json.dumps(dict(self.texts), ensure_ascii=False, indent=1).encode(),
        }
        if self.rows is not None:
            files[ITEMS] = b"".join(dump_items(self.rows))
        if self.labels is not None:
            files[LABELS] = json.dumps(dict(self.labels), ensure_ascii=False).encode()
        if self.apart is not None:
            files[PLACES] = json.dumps({"workspace": self.apart.relative, "absolute": self.apart.absolute}).encode()
        freeze_plan(layout, files)


def freeze_job(loaded: LoadedJob, rows: Sequence[Any] | None, apart: Apart | None = None) -> FrozenPlan:
    """Read every text that the job's prompts and its answers' schema name."""
    texts = {}
    for name in _named_texts(loaded):
        path = loaded.resolve(name)
        if _is_file(path):
            texts[name] = path.read_text(encoding="utf-8-sig", errors="replace")
    return FrozenPlan(loaded, texts, rows, apart, loaded.given.labels if rows is not None else None)


def _named_texts(loaded: LoadedJob) -> Iterator[str]:
    prompt, batch = loaded.config.prompt, loaded.config.batch
    if prompt.template_file is not None:
        yield prompt.template_file
    for texts in (prompt.prompt_extensions, *batch.prompt_extensions.values()):
        for text in texts:
            name = text.strip()
            if name.lower().endswith((".md", ".txt")) and "\n" not in name:
                yield name
    if isinstance(loaded.config.answer.json_schema, str):
        yield loaded.config.answer.json_schema


def _is_file(path: Path) -> bool:
    """Also for what no file can be called: an extension of a prompt may be a long sentence that ends in `notes.md`."""
    return os.path.isfile(path)  # noqa: PTH113


def read_frozen(layout: Layout, given: Given = NOTHING_GIVEN) -> FrozenPlan:
    """What `FrozenPlan.write` kept. `given` has the namespace of the notebook that wants to go on with the job.

    Raises `CheckpointCorruptError` when it cannot be read.
    """
    files = read_plan(layout)
    try:
        loaded = thaw(json.loads(files[CONFIG]), given=given)
        texts = dict(json.loads(files[TEXTS]))
        places = json.loads(files[PLACES]) if PLACES in files else None
        labels = json.loads(files[LABELS]) if LABELS in files else None
        apart = Apart(str(places["workspace"]), str(places["absolute"])) if places is not None else None
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise CheckpointCorruptError(
            f"the frozen plan in {layout.plan} cannot be read: {type(error).__name__}: {error}",
            hint="restore it from a backup, or start over with --fresh",
            job_id=layout.job_id,
            code="E701",
        ) from error
    know_secrets(loaded.config)
    return FrozenPlan(loaded, texts, ItemTable(files[ITEMS]) if ITEMS in files else None, apart, labels)


def know_secrets_of(layout: Layout) -> None:
    """Mask from now on what the job at `layout` says is secret; nothing is known of one whose plan cannot be read."""
    with contextlib.suppress(MozartError):
        read_frozen(layout)


def workspace_of(frozen: FrozenPlan, layout: Layout) -> Path:
    """The workspace of a job whose state stands at `layout`."""
    return layout.workspace if frozen.apart is None else frozen.apart.seen_from(layout.workspace)


def _digest(file: Path) -> str:
    try:
        return attachment_digest(str(file), file.read_bytes())
    except (OSError, ValueError):
        return ""  # whoever sends it says what is wrong with it


class PlanMaterials:
    """Rows and texts of a frozen plan, and files below its workspace (`engine.ports.Materials`)."""

    def __init__(self, frozen: FrozenPlan, workspace: Path) -> None:
        self._frozen = frozen
        self._workspace = workspace

    def rows(self, start: int, end: int) -> list[Any]:
        """Items `start..end`, counted from 1."""
        return list((self._frozen.rows or [])[start - 1 : end])

    def read_text(self, path: str) -> str | None:
        """A text frozen under that name, or else a file of the workspace."""
        if path in self._frozen.texts:
            return self._frozen.texts[path]
        file = self._workspace / path
        if not self._is_inside(file) or not _is_file(file):
            return None
        return file.read_text(encoding="utf-8", errors="replace")

    def glob(self, pattern: str) -> list[str]:
        """Files below the workspace that match, as absolute paths, sorted; not the job's own log, and no worktrees."""
        relative = Path(pattern)
        if relative.is_absolute():
            try:
                relative = relative.relative_to(self._workspace)
            except ValueError:
                return []
        log = log_file(self._frozen.loaded.config.logging, self._workspace)
        trees = self._workspace / WORKTREES
        found = (path for path in self._workspace.glob(str(relative)) if _is_file(path))
        return sorted(str(path) for path in found if not is_log(path, log) and not path.is_relative_to(trees))

    def digests(self, paths: Sequence[str]) -> tuple[str, ...]:
        """What stands for the content of each of these files, "" where one cannot be read."""
        return tuple(_digest(Path(path)) for path in paths)

    def exists(self, path: str) -> bool:
        """Whether something stands there. What cannot be looked up is not reported as missing."""
        try:
            return Path(path).exists()
        except (OSError, ValueError):
            return True

    def _is_inside(self, file: Path) -> bool:
        return file.resolve().is_relative_to(self._workspace.resolve())
