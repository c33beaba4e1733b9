"""What a dashboard of a large job sends to the browser, and what it costs the kernel."""

from __future__ import annotations

import time

from support.kernel_driver import Kernel
from support.notebook_cells import LOAD, mozart_cell, rehearsed, root_of

MESSAGES_PER_SECOND = 5
BYTES_PER_SECOND = 20_000
BLOCKED_SECONDS = 0.1
WATCHED_SECONDS = 6.0


def test_the_dashboard_of_ten_thousand_batches_sends_little_and_leaves_the_loop_free(kernel: Kernel) -> None:
    kernel.run(LOAD)
    job = rehearsed("large", 10_000, latency=0.2, at_once=32)
    opened = kernel.run(mozart_cell(job))
    assert opened.status == "ok", opened.text
    kernel.change(root_of(kernel), _view_count=1)  # as a browser that shows it
    kernel.wait_until(lambda: kernel.traffic(time.monotonic() - 1).kinds["comm_msg"] < 5)  # the first drawing is over

    kernel.watch_loop()
    began = time.monotonic()
    kernel.wait_until(lambda: time.monotonic() > began + WATCHED_SECONDS, WATCHED_SECONDS + 5)
    traffic = kernel.traffic(began)
    gaps = kernel.gaps()
    assert kernel.value("job.progress().done") > 100
    kernel.run("job.cancel()\nawait job")

    assert traffic.kinds["comm_msg"] > WATCHED_SECONDS / 2, "the dashboard does not move"
    assert traffic.messages_per_second <= MESSAGES_PER_SECOND, traffic
    assert traffic.bytes_per_second <= BYTES_PER_SECOND, traffic
    # A busy machine makes beats late; what the kernel did itself meanwhile shows in its thread's processor time.
    assert max(min(gap.late, gap.cpu) for gap in gaps) < 2 * BLOCKED_SECONDS
