"""What tests of the web servers share."""

from __future__ import annotations

from support.web import web

__all__ = ["web"]
