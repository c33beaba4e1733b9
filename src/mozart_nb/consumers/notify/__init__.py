"""Telling people and programs what happens to a job, on the desktop, in Slack and by webhook.

The run itself delivers nothing. `Notifier` turns events into messages and appends them to the outbox in the job's
folder; a process of its own, the courier, delivers what is there. A receiver that is dead or hangs therefore changes
neither the time nor the exit code of a run, and what a killed host left behind is delivered later.
"""

from __future__ import annotations

from mozart_nb.consumers.notify.advice import next_step
from mozart_nb.consumers.notify.messages import Delivery, Message, wanted_kinds
from mozart_nb.consumers.notify.notifier import Notifier
from mozart_nb.consumers.notify.outbox import deliveries, unsent

__all__ = ["Delivery", "Message", "Notifier", "deliveries", "next_step", "unsent", "wanted_kinds"]
