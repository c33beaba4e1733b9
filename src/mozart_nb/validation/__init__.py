"""Checks what a batch produced against the rules of its job."""

from mozart_nb.validation.checker import RuleChecker

__all__ = ["RuleChecker"]
