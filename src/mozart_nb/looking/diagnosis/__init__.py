"""Why a job is where it is, what held it up, and what to do next.

`diagnose` reads everything from the job's folder, so it serves a job of this process, of another one, or of last week.
The result is plain data; `str(diagnosis)` is text for people, `diagnosis.document()` JSON data.
"""

from mozart_nb.looking.diagnosis.anything import diagnose_any, diagnose_prepared
from mozart_nb.looking.diagnosis.findings import (
    BatchTimeline,
    BlockedChain,
    Breaker,
    Budget,
    Crashes,
    Diagnosis,
    Environment,
    ErrorGroup,
    Example,
    Fact,
    FailedRule,
    Holder,
    NextStep,
    Orphan,
    PromptFinding,
    Prompts,
    Remedy,
    SessionOutput,
    Trouble,
    Used,
    Waits,
)
from mozart_nb.looking.diagnosis.look import diagnose

__all__ = [
    "BatchTimeline",
    "BlockedChain",
    "Breaker",
    "Budget",
    "Crashes",
    "Diagnosis",
    "Environment",
    "ErrorGroup",
    "Example",
    "Fact",
    "FailedRule",
    "Holder",
    "NextStep",
    "Orphan",
    "PromptFinding",
    "Prompts",
    "Remedy",
    "SessionOutput",
    "Trouble",
    "Used",
    "Waits",
    "diagnose",
    "diagnose_any",
    "diagnose_prepared",
]
