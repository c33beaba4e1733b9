"""The channels of a job's notifications, with the addresses that its frozen plan leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mozart_nb.errors import MozartError
from mozart_nb.job.load import load_job
from mozart_nb.job.notifications import NotificationConfig, is_kept_out, without_literals
from mozart_nb.plans.prepared import Prepared
from mozart_nb.plans.secrets import know_secrets


def channels_of(prepared: Prepared) -> Sequence[NotificationConfig]:
    """The `notifications` of a job. Reads its file again where the frozen plan had to leave something out.

    What the file says now counts only if it has the same channels in all other respects; else those that lack something
    stay as they are (`is_kept_out`) and cannot be used.
    """
    channels = prepared.loaded.config.notifications
    if not any(is_kept_out(channel) for channel in channels):
        return channels
    loaded = prepared.loaded
    try:
        written = load_job(loaded.base_dir / Path(loaded.file).name).config
    except MozartError:
        return channels
    if [_frozen(one) for one in written.notifications] != [_frozen(one) for one in channels]:
        return channels
    know_secrets(written)
    return written.notifications


def _frozen(channel: NotificationConfig) -> object:
    return without_literals(channel.model_dump(mode="json"))
