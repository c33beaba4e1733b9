"""Sentences for prompts, made of counts and of what the job file itself says about its rules.

Nothing that a model wrote gets into them: neither answers nor what a rule saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mozart_nb.consumers.learning.outcomes import ANSWER_FORM
from mozart_nb.consumers.learning.reading import Counts, together
from mozart_nb.consumers.learning.wilson import wilson
from mozart_nb.job.outputs import RuleConfig
from mozart_nb.job.wording import rule_names
from mozart_nb.masking import masked

MIN_FIRST_TRIES: Final = 20
"""First tries that a rule must have judged before anything is said about it."""
WORTH_SAYING: Final = 0.05
"""Share of first tries that it must surely fail (lower end of the 95 % interval)."""
MOST_HINTS: Final = 3
LONGEST_PATTERN: Final = 200

_WHAT: Final = {
    "file_exists": "the file `{path}` is there when you are done",
    "file_modified": "you change the file `{path}`",
    "content_contains": "the file `{path}` contains the text `{pattern}`",
    "content_regex": "the file `{path}` matches the regular expression `{pattern}`",
    "command_succeeds": "the command `{command}` succeeds",
    "answer_matches": "your final answer matches the regular expression `{pattern}`",
}


def hints_from(counts: Sequence[Counts], rules: Sequence[RuleConfig]) -> tuple[str, ...]:
    """At most three sentences about the rules that first tries of a template failed most. Placeholders stay in them.

    Rules with a `condition` are not for every batch, and so get no sentence, which every batch would read.
    `counts` are those of this template. Outcomes with hints in the prompt are left out, or a hint that helps would
    vanish because it helped; so are rehearsals.
    """
    found = together(one for one in counts if not one.hints and not one.is_rehearsal)
    if not found:
        return ()
    named = zip(rule_names(rules), rules, strict=True)
    known = {**{name: rule for name, rule in named if rule.condition is None}, ANSWER_FORM: None}
    worth: list[tuple[float, str]] = []
    for name, tally in found[0].tally.rules.items():
        sure = wilson(tally.failed_first, tally.judged_first).low
        if name in known and tally.judged_first >= MIN_FIRST_TRIES and sure >= WORTH_SAYING:
            worth.append((-sure, _sentence(known[name], tally.failed_first, tally.judged_first)))
    return tuple(sentence for _, sentence in sorted(worth)[:MOST_HINTS])


def _sentence(rule: RuleConfig | None, failed: int, judged: int) -> str:
    if rule is None:
        name, what = "the form of the answer", "your answer has exactly the form that is asked for"
    else:
        name = f"the rule `{_short(rule.description)}`" if rule.description else f"a rule of the kind `{rule.type}`"
        what = _WHAT.get(rule.type, "it holds").format(
            path=rule.path or "", pattern=_short(rule.pattern or ""), command=_short(rule.command or "")
        )
    return (
        f"In earlier runs, {name} failed at the first try in {failed:,} of {judged:,} batches: make sure that {what}."
    )


def _short(text: str) -> str:
    flat = " ".join(masked(text).split())
    return flat if len(flat) <= LONGEST_PATTERN else f"{flat[:LONGEST_PATTERN]}…"
