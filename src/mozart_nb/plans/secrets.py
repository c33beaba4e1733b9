"""What a job knows to be secret is told to the masking before anything of the job is written or shown."""

from __future__ import annotations

import os

from mozart_nb.job.model import JobConfig
from mozart_nb.job.secrets import secrets_of, secrets_of_environment
from mozart_nb.masking import know


def know_secrets(config: JobConfig) -> None:
    """Mask the values of keys, addresses and headers that `config` and the environment of this process name."""
    know((*secrets_of_environment(os.environ), *secrets_of(config, os.environ)))
