"""The rule about what a job needs of a notebook and does not find here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from mozart_nb.job.vcodes import Finding, Rule, Subject


def functions_are_at_hand(subject: Subject) -> Iterator[Finding]:
    """Sessions would be paid for whose work nobody can check."""
    borrowed = subject.loaded.borrowed
    for index, rule in enumerate(subject.loaded.config.validations):
        if rule.type == "python" and rule.function is not None and rule.function in borrowed.unfit:
            advice = "start the job in the notebook that defines it; a rehearsal needs no function"
            yield Finding(("validations", index, "function"), borrowed.unfit[rule.function], advice)


RULES: Final[Mapping[str, Rule]] = {"V128": functions_are_at_hand}
