"""Keys that job files may hold although they do nothing here: each is named in one warning, never dropped in silence.

They are keys of the earlier tool that have no counterpart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mozart_nb.job.batch import BatchConfig
from mozart_nb.job.document import KeyPath
from mozart_nb.job.model import JobConfig
from mozart_nb.job.outputs import LearningConfig
from mozart_nb.job.policies import CircuitBreakerPolicy, CostLimits, ParallelConfig, StaleDetectionConfig
from mozart_nb.job.section import Section

_OUT_OF_SCOPE: Final = "not supported"
_SHARED: Final = "not supported: all jobs of one account always share one rate-limit gate"
_PRICES: Final = "not supported: use `prices`"
_LEARNING: Final = "not supported: `learning` has `enabled` and `apply` only"

UNSUPPORTED: Final[Mapping[type[Section], Mapping[str, str]]] = {
    JobConfig: dict.fromkeys(("bridge", "grounding", "ai_review", "feedback", "conductor"), _OUT_OF_SCOPE),
    BatchConfig: {"fan_out_stage_map": "not needed: it is worked out from `fan_out`"},
    ParallelConfig: {"budget_partition": "not supported: cost limits always hold for the whole job"},
    CircuitBreakerPolicy: dict.fromkeys(("cross_workspace_coordination", "honor_other_jobs_rate_limits"), _SHARED),
    CostLimits: dict.fromkeys(("cost_per_1k_input_tokens", "cost_per_1k_output_tokens"), _PRICES),
    StaleDetectionConfig: {"check_interval_seconds": "not needed: silence is noticed at once"},
    LearningConfig: dict.fromkeys(
        (
            "outcome_store_type",
            "outcome_store_path",
            "min_confidence_threshold",
            "high_confidence_threshold",
            "use_global_patterns",
            "exploration_rate",
            "exploration_min_priority",
            "entropy_alert_threshold",
            "entropy_check_interval",
            "auto_apply_enabled",
            "auto_apply_trust_threshold",
            "auto_apply",
            "exploration_budget",
            "entropy_response",
        ),
        _LEARNING,
    ),
}
"""Per section: key → why it has no effect."""

MOVED: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("learning", "escalation_enabled"): ("checkpoints", "escalation"),
}
"""Section and key of the earlier tool → where that stands here."""

UNSUPPORTED_BACKENDS: Final = ("ollama", "recursive_light")
"""Backend types of the earlier tool that do not exist here: an error, because nothing could run."""


def email_notifications(config: JobConfig) -> list[KeyPath]:
    """Where notifications by e-mail are asked for; they are known, but there is no way to send them."""
    return [("notifications", index, "type") for index, one in enumerate(config.notifications) if one.type == "email"]
