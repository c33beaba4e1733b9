"""With a variable of ours set, tests that drive a real program must run: skipping one is a failure.

A machine without the program may skip them; the one that decides whether a change is good may not.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Requirement:
    """`variable=1` wants the tests marked with `marker`, which drive `program`."""

    marker: str
    variable: str
    program: str


ALL = (
    Requirement("real_claude", "MOZART_NB_REQUIRE_CLAUDE", "the real `claude`"),
    Requirement("browser", "MOZART_NB_REQUIRE_CHROMIUM", "a JupyterLab in Chromium"),
)

# Read once: tests run without any variable of ours.
REQUIRED = tuple(one for one in ALL if os.environ.get(one.variable) == "1")


class RealProgramRan:
    """Counts the tests that drove one real program, and fails the session when there was none."""

    def __init__(self, requirement: Requirement) -> None:
        self.requirement = requirement
        self.ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.requirement.marker in report.keywords and report.when == "call" and not report.skipped:
            self.ran += 1

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.ran and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.ran:
            wanted = self.requirement
            terminalreporter.section(f"no test drove {wanted.program}, and {wanted.variable}=1 wants some")


def pytest_configure(config: pytest.Config) -> None:
    # The workers of a distributed run report to this process, which alone knows the whole.
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        for requirement in REQUIRED:
            config.pluginmanager.register(RealProgramRan(requirement))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for requirement in REQUIRED:
        if report.skipped and requirement.marker in item.keywords and not hasattr(report, "wasxfail"):
            report.outcome = "failed"
            report.longrepr = f"skipped, though {requirement.variable}=1: {report.longrepr}"
    return report
