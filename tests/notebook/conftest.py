"""Kernels of their own for tests of the notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.kernel_driver import Kernel
from support.notebook_environment import notebook_environment


@pytest.fixture
def environ(isolated: Path) -> dict[str, str]:
    """What kernels and programs of one test get: the same folders, so that they know the same jobs."""
    return notebook_environment(isolated)


@pytest.fixture
def start_kernel(tmp_path: Path, environ: dict[str, str]) -> Iterator[Callable[..., Kernel]]:
    """Starts kernels in `tmp_path`, with further variables where given; all are ended with the test."""
    started: list[Kernel] = []

    def start(**variables: str) -> Kernel:
        started.append(Kernel(tmp_path, {**environ, **variables}))
        return started[-1]

    yield start
    for kernel in started:
        kernel.close()


@pytest.fixture
def kernel(start_kernel: Callable[..., Kernel]) -> Kernel:
    """A kernel whose notebook lies in `tmp_path`."""
    return start_kernel()
