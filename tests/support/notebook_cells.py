"""Cells that describe rehearsed jobs, for tests of the notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from support.kernel_driver import Kernel

LOAD = "%load_ext mozart_nb"


def rehearsed(
    name: str, batches: int, *, latency: float = 0.05, at_once: int = 4, timeout: float = 1800, **sections: Any
) -> dict[str, Any]:
    """A job of `batches` batches, each a session of `latency` seconds, `at_once` at a time.

    `sections` are further sections of the job file; those of the same name are merged key by key.
    """
    job: dict[str, Any] = {
        "name": name,
        "workspace": f"./{name}-results",
        "backend": {"type": "rehearsal", "timeout_seconds": timeout},
        "batch": {"size": 1, "total_items": batches},
        "parallel": {"enabled": True, "max_concurrent": at_once, "fail_fast": False},
        "retry": {"max_retries": 0, "max_completion_attempts": 0, "jitter": False},
        "prompt": {"template": "Say a word about number {{ batch_num }}."},
        "rehearsal": {"latency_seconds": latency, "answer": "A word about number {{ batch_num }}."},
    }
    for section, keys in sections.items():
        job[section] = {**job[section], **keys} if isinstance(job.get(section), Mapping) else keys
    return job


def mozart_cell(job: Mapping[str, Any], options: str = "") -> str:
    """The same job as a cell of a notebook."""
    text = yaml.safe_dump(dict(job), sort_keys=False, allow_unicode=True)
    return f"%%mozart {options}".rstrip() + "\n" + text.rstrip()


def root_of(kernel: Kernel) -> str:
    """The widget of a dashboard that is displayed: the box that no other widget has among its children."""

    def root() -> str:
        inside = {child for state in list(kernel.models.values()) for child in state.get("children", ())}
        boxes = kernel.models_with(_model_name="VBoxModel")
        return next((box for box in boxes if f"IPY_MODEL_{box}" not in inside and kernel.models[box]["children"]), "")

    return kernel.wait_until(root, what="a dashboard")
