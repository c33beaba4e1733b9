"""Kernels of their own for tests of the notebook; one JupyterLab and one browser for those that look at pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page
from support.kernel_driver import Kernel
from support.lab import Lab, LabPage, chromium, find_chromium
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


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab for all tests of one process: starting it takes seconds."""
    if find_chromium() is None:
        pytest.skip("no Chromium: install it or set MOZART_NB_CHROMIUM")
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


# Not longer than a module: while Playwright is at work, its thread has a running loop and no other may run there.
@pytest.fixture(scope="module")
def new_window(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Page]]:
    """Opens windows of a headless Chromium."""
    with chromium(tmp_path_factory.mktemp("chromium")) as window:
        yield window


@pytest.fixture
def window(lab: Lab, new_window: Callable[..., Page], tmp_path: Path) -> Iterator[LabPage]:
    """JupyterLab in a browser window; its kernels are ended with the test."""
    page = new_window()
    window = LabPage(lab, page, tmp_path)
    window.use_theme(dark=False)  # the server remembers the theme
    yield window
    page.context.close()
    lab.end_sessions()
