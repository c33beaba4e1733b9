"""The history across jobs: `history.db` in the user's data directory, filled from the events of runs.

Importing this package imports no database; SQLAlchemy is imported in the thread that writes, or by whoever reads.
"""

from mozart_nb.consumers.history.keeper import HistoryKeeper
from mozart_nb.consumers.history.parcel import Delivery
from mozart_nb.consumers.history.section import JobIdentity, News, Section

__all__ = ["Delivery", "HistoryKeeper", "JobIdentity", "News", "Section"]
