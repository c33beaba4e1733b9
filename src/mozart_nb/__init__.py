"""Runs many Claude sessions from one description of the work, in Jupyter and without it."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
