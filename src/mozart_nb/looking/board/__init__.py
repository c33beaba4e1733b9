"""What the web sees of the user's jobs: cached, shared by all who look, bounded in size.

board = Board()
page = board.jobs(JobWish(statuses=("running",)))       # blocks: call it in a worker thread
look = board.look(page.jobs[0].key)
async for news in board.subscribe(page.jobs[0].key):    # on an event loop; however many listen, one reads
    ...
"""

from mozart_nb.errors import StillReadingError
from mozart_nb.looking.board.batches import STATUS_LETTERS
from mozart_nb.looking.board.board import Board
from mozart_nb.looking.board.keys import SEPARATOR, key_for
from mozart_nb.looking.board.shapes import (
    BATCH_SORTS,
    JOB_SORTS,
    AnswerPage,
    BatchPage,
    BatchWish,
    EventPage,
    Frame,
    JobLook,
    JobPage,
    JobWish,
    News,
    NewsKind,
    Plan,
    Summary,
)

__all__ = [
    "BATCH_SORTS",
    "JOB_SORTS",
    "SEPARATOR",
    "STATUS_LETTERS",
    "AnswerPage",
    "BatchPage",
    "BatchWish",
    "Board",
    "EventPage",
    "Frame",
    "JobLook",
    "JobPage",
    "JobWish",
    "News",
    "NewsKind",
    "Plan",
    "StillReadingError",
    "Summary",
    "key_for",
]
