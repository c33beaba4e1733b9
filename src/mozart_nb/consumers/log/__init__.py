"""The job's log file, as its `logging` section asks for it: one line per event.

`writer.LogWriter` is an observer of a run; only who runs jobs imports it. `files` knows which files a log consists of,
`form` what a line looks like, and both serve whoever reads a log file.
"""

from mozart_nb.consumers.log.files import is_log, json_sibling, log_family, log_file, open_family
from mozart_nb.consumers.log.form import LogLine, read_line

__all__ = ["LogLine", "is_log", "json_sibling", "log_family", "log_file", "open_family", "read_line"]
