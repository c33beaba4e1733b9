"""Remedies for what keeps batches from succeeding, where the user allowed them (`--self-healing`)."""

from mozart_nb.healing.healer import Ask, JobHealer, always, guidance
from mozart_nb.healing.locks import find_stale_lock
from mozart_nb.healing.remedy import Case, Effect, Finding, Remedy, Site
from mozart_nb.healing.table import REMEDIES, STALE_LOCK

__all__ = [
    "REMEDIES",
    "STALE_LOCK",
    "Ask",
    "Case",
    "Effect",
    "Finding",
    "JobHealer",
    "Remedy",
    "Site",
    "always",
    "find_stale_lock",
    "guidance",
]
