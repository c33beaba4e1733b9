"""What `%%mozart?` and `--help` show, and the cell that one may start from. Made when it is asked for.

Options and verbs come from `options`, the sections of the YAML from the models: the page cannot say what is not so.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final

from mozart_nb.job.fields import keys_of
from mozart_nb.job.model import JobConfig
from mozart_nb.jupyter.completion.sources import first_sentence
from mozart_nb.jupyter.magics.lines import help_of
from mozart_nb.jupyter.magics.options import CELL, VERBS

EXAMPLE: Final = """\
%%mozart
name: greetings
backend: {type: rehearsal}      # offline and free of charge; else the claude program is started
batch: {size: 1, total_items: 5}
prompt:
  template: |
    Greet guest {{ batch_num }} of {{ total_batches }} in one sentence.
rehearsal:
  answer: "Hello, guest {{ batch_num }}!"
validations:
  - type: answer_matches        # what must be true after each batch
    pattern: Hello
"""
"""A cell that runs as it stands."""

_WIDTH: Final = 100
_INDENT: Final = "  "

_NEXT: Final = (
    ("job.dashboard()", "the job of the last cell, live; `--out NAME` binds it to another name than `job`"),
    ("await job", "wait for it; `%%mozart --wait` waits at once, with the dashboard moving"),
    ("job.pause()", "batches under way finish, then it pauses; so does interrupting a cell that waits"),
    ("job.resume()", "go on with all that is not completed; so does running the cell again"),
    ("job.cancel()", "end its sessions at once"),
    ("job.answers()", "a DataFrame; so are batches(), attempts(), errors(), validations() and events()"),
    ("job.diagnose()", "what went wrong, why, and what to do now"),
)

_DOCS: Final = (
    ("docs/notebook.md", "the notebook guide"),
    ("docs/job-file.md", "every key of the YAML"),
    ("docs/answers.md", "typed answers"),
    ("docs/backends.md", "who does the work: claude_cli, anthropic_api, anthropic_batches, rehearsal"),
    ("docs/diagnosis.md", "why a job is where it is, and what to do"),
    ("docs/error-codes.md", "what went wrong"),
)


def page() -> str:
    """The whole page, as plain text of at most 100 columns."""
    parts = (
        "Run a job that the YAML of a cell describes, watch it, look into it.",
        _part("An example that runs as it stands", EXAMPLE.rstrip()),
        help_of(CELL),
        _part("What the YAML holds (docs/job-file.md has every key; Tab completes them)", _table(_sections())),
        _part("Afterwards", _table(_NEXT)),
        _part("Verbs of %mozart", _table((verb.name, verb.summary) for verb in VERBS.values())),
        "`%mozart VERB --help` shows the options of a verb, `%config MozartMagics` the settings, and\n"
        "`%mozart` alone how the jobs here stand. A job file is run with `%mozart run FILE`.",
        _part("More", _table(_DOCS)),
    )
    return "\n\n".join(parts)


def _part(title: str, text: str) -> str:
    return f"{title}:\n\n{textwrap.indent(text, _INDENT)}"


def _sections() -> list[tuple[str, str]]:
    """Every key of the top level and what it is for."""
    return [(key, first_sentence(field.description or "")) for key, field in keys_of(JobConfig).items()]


def _table(rows: Iterable[tuple[str, str]]) -> str:
    pairs = list(rows)
    width = max(len(name) for name, _ in pairs)
    lines = []
    for name, text in pairs:
        first, *more = textwrap.wrap(text, _WIDTH - width - 2 * len(_INDENT)) or [""]
        lines += [f"{name:<{width}}{_INDENT}{first}", *(" " * width + _INDENT + line for line in more)]
    return "\n".join(lines)


# --- a cell to start from ---------------------------------------------------------------------------------------------

_STARTING_CELL: Final = """\
%%mozart
# A job. Try it as it is: it is rehearsed, which is offline and free of charge. `%%mozart?` explains everything.
name: NAME
workspace: ./workspace            # results, and the record from which a killed job goes on

backend:
  type: rehearsal                 # claude_cli starts the `claude` program, anthropic_api calls the API
  # cli_model: sonnet
  # timeout_seconds: 1800         # for one attempt

# Twenty items, five per batch: four sessions. Or take rows: `%%mozart --items df`, and {{ items }} in the template.
batch:
  size: 5
  total_items: 20

prompt:
  template: |
    Work on items {{ start_item }} to {{ end_item }} (batch {{ batch_num }} of {{ total_batches }}).
    Write what you find to {{ workspace }}/report-{{ batch_num }}.md.

# What must be true after each batch. Without rules nobody notices a batch that produced nothing.
validations:
  - type: file_exists
    path: "{workspace}/report-{batch_num}.md"
    description: the report of the batch

# retry:
#   max_retries: 3                # after the first attempt
# parallel:
#   enabled: true
#   max_concurrent: 3
# cost_limits:
#   max_cost_per_job: 5           # US dollars; the job pauses before the session that would pass it
"""


def starting_cell(name: str = "my-job") -> str:
    """A commented cell for `%mozart init`, to be handed to `shell.set_next_input`; it runs as it stands."""
    return _STARTING_CELL.replace("NAME", name, 1)
