"""The job's log file, as its `logging` section asks for it: one line per event.

`LogWriter` is an observer of a run. `files` knows which files a log consists of, `form` what a line looks like, and
both serve whoever reads a log file.
"""

from mozart_nb.consumers.log.files import is_log, json_sibling, log_family, log_file, open_family
from mozart_nb.consumers.log.form import LogLine, read_line
from mozart_nb.consumers.log.writer import LogWriter

__all__ = ["LogLine", "LogWriter", "is_log", "json_sibling", "log_family", "log_file", "open_family", "read_line"]
