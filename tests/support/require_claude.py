"""With MOZART_NB_REQUIRE_CLAUDE=1 the tests that drive the real `claude` program must run: skipping one is a failure.

A machine without the program may skip them; the one that decides whether a change is good may not.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

# Read once: tests run without any variable of ours.
IS_REQUIRED = os.environ.get("MOZART_NB_REQUIRE_CLAUDE") == "1"
MARKER = "real_claude"


class RealClaudeRan:
    """Counts the tests that drove the real program, and fails the session when there was none."""

    def __init__(self) -> None:
        self.ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if MARKER in report.keywords and report.when == "call" and not report.skipped:
            self.ran += 1

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.ran and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.ran:
            terminalreporter.section("no test drove the real `claude`, and MOZART_NB_REQUIRE_CLAUDE=1 wants some")


def pytest_configure(config: pytest.Config) -> None:
    # The workers of a distributed run report to this process, which alone knows the whole.
    if IS_REQUIRED and not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(RealClaudeRan())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IS_REQUIRED and report.skipped and MARKER in item.keywords and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though MOZART_NB_REQUIRE_CLAUDE=1: {report.longrepr}"
    return report
