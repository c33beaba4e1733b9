"""Fixtures around the real `claude` program; loaded for every test by `tests/conftest.py`."""

from __future__ import annotations
