"""Everything about one batch, bounded in size, read from disk in a worker thread.

attempts = AttemptIndex(layout)                     # kept while a dashboard is open
details = await batch_details(job.prepared, job.state, 7, attempts=attempts)
tail = await log_tail(job.layout, 7, details.record.attempts)
tail = await log_tail(job.layout, 7, details.record.attempts, known=tail)   # the same object: nothing new
"""

from mozart_nb.looking.details.attempts import AttemptDetails, AttemptIndex
from mozart_nb.looking.details.batch import LARGEST_ANSWER, BatchDetails, Excerpt, Limits, batch_details, read_details
from mozart_nb.looking.details.facts import Facts
from mozart_nb.looking.details.logs import LineKind, LogLine, LogTail, log_tail, readable
from mozart_nb.looking.details.prompts import PromptSource

__all__ = [
    "LARGEST_ANSWER",
    "AttemptDetails",
    "AttemptIndex",
    "BatchDetails",
    "Excerpt",
    "Facts",
    "Limits",
    "LineKind",
    "LogLine",
    "LogTail",
    "PromptSource",
    "batch_details",
    "log_tail",
    "read_details",
    "readable",
]
