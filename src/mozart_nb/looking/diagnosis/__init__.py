"""Why a job is where it is, what held it up, and what to do next.

`diagnose` reads everything from the job's folder, so it serves a job of this process, of another one, or of last week.
The result is plain data; `str(diagnosis)` is text for people.
"""

from mozart_nb.looking.diagnosis.findings import (
    BlockedChain,
    Budget,
    Crashes,
    Diagnosis,
    ErrorGroup,
    Example,
    NextStep,
    Remedy,
    Waits,
)
from mozart_nb.looking.diagnosis.journal_end import last_events, log_lines
from mozart_nb.looking.diagnosis.look import diagnose

__all__ = [
    "BlockedChain",
    "Budget",
    "Crashes",
    "Diagnosis",
    "ErrorGroup",
    "Example",
    "NextStep",
    "Remedy",
    "Waits",
    "diagnose",
    "last_events",
    "log_lines",
]
