"""Real repositories for every test in here."""

from support.repositories import git, repo, work

__all__ = ["git", "repo", "work"]
