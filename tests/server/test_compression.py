"""Who gets compressed answers."""

from __future__ import annotations

import pytest

from mozart_nb.jupyter.server.base import reads_gzip


@pytest.mark.parametrize("accepted", ["gzip", "br, gzip;q=0.5", "GZIP", "gzip;q=1.0, identity"])
def test_those_who_say_so(accepted: str) -> None:
    assert reads_gzip(accepted)


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "gzip; q=0.000, br", "x-gzipped", "identity"])
def test_nobody_who_cannot_read_them(accepted: str) -> None:
    assert not reads_gzip(accepted)
