"""What happened, line by line: from a job's journal, which has everything, or from its log file.

    wanted = log_filter(level="WARNING", events=["batch.*"], since="2h")
    last_events(layout, 50, wanted)              from the end of the journal
    LogFollower(layout, wanted).poll()           and what comes after it, as it happens
    last_lines(file, 50, wanted)                 the same from a log file and its packed backups
    FileFollower(file, wanted).poll()

All of them read only what they need, and none of them changes anything.
"""

from mozart_nb.looking.logs.file_following import FileFollower
from mozart_nb.looking.logs.files import last_lines, log_file_of, read_lines
from mozart_nb.looking.logs.filters import EVERYTHING, LogFilter, concerns, log_filter
from mozart_nb.looking.logs.following import LogFollower
from mozart_nb.looking.logs.journal import last_events, log_lines
from mozart_nb.looking.logs.raw import RawOutput, raw_output

__all__ = [
    "EVERYTHING",
    "FileFollower",
    "LogFilter",
    "LogFollower",
    "RawOutput",
    "concerns",
    "last_events",
    "last_lines",
    "log_file_of",
    "log_filter",
    "log_lines",
    "raw_output",
    "read_lines",
]
