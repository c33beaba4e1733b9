"""What a job file spells in a way that cannot work here: backslashes in paths, and variables that do not exist."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import Final

from mozart_nb.events import RuleResult
from mozart_nb.healing.remedy import Case, Finding, Site
from mozart_nb.job.templates import misspelling

# `C:\…` and `\\server\…` name places of another system; inside braces a backslash belongs to an expression.
_FOREIGN: Final = re.compile(r"[A-Za-z]:|\\\\")
_IN_BRACES: Final = re.compile(r"\{[^{}]*\\[^{}]*\}")


def find_backslashes(case: Case) -> Finding | None:
    """Rules name files with backslashes, which are no separators here, and no such file is there."""
    spelled = {
        result.rule: with_slashes
        for result in case.ailment.results
        if result.status == "failed" and (with_slashes := _with_slashes(result, case.site))
    }
    if not spelled or os.sep != "/":
        return None
    places = ", ".join(
        f"{case.site.where(('validations', rule - 1, 'path'))}: `{path}`" for rule, path in sorted(spelled.items())
    )
    return Finding(
        cause="rules name files with backslashes, which are part of a name on this system",
        deed="they were read as slashes for this run",
        advice=f"Write it with slashes in the job file ({places}), then resume with --reload-config.",
        effect=partial(_respell, case.site, spelled),
    )


def _with_slashes(result: RuleResult, site: Site) -> str:
    """The rule's path as it is most likely meant; "" when the backslashes are, or when it cannot be meant here."""
    if "\\" not in result.path or not 1 <= result.rule <= len(site.config.validations):
        return ""
    path = site.config.validations[result.rule - 1].path or ""
    if "\\" not in path or _FOREIGN.match(path) or _IN_BRACES.search(path) or os.path.lexists(result.path):
        return ""
    return path.replace("\\", "/")


async def _respell(site: Site, paths: dict[int, str]) -> None:
    site.respell(paths)


def find_variable(case: Case) -> Finding | None:
    """A template uses a variable that does not exist and is nearly spelled like one that does."""
    named = misspelling(case.ailment.message)
    if named is None:
        return None
    name, meant = named
    return Finding(
        cause=case.ailment.message.rstrip("?."),
        deed=f"`{name}` stood for `{meant}` for this run",
        question=f"The prompt uses `{name}`, which does not exist. Use `{meant}` for it in this run?",
        advice=f"Write `{meant}` in the template, then resume with --reload-config.",
        effect=partial(_alias, case.site, name, meant),
    )


async def _alias(site: Site, name: str, meant: str) -> None:
    site.alias(name, meant)
