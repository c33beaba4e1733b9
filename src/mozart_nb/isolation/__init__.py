"""A git worktree for each job, on a branch of its own: sessions commit there, and your checkout stays as it is.

`setting_up` makes one or finds that of an earlier run, `winding_up` puts it away. Whatever happens in between, no
commit is ever without a name in the repository.
"""

from mozart_nb.isolation.git import Git, GitError
from mozart_nb.isolation.keeper import WorktreeKeeper
from mozart_nb.isolation.setting_up import Wanted, branch_name, set_up
from mozart_nb.isolation.worktree import Worktree

__all__ = ["Git", "GitError", "Wanted", "Worktree", "WorktreeKeeper", "branch_name", "set_up"]
