"""What a job starts once it has completed: commands, programs and further jobs (`on_success`, `concert`).

results = await run_hooks(prepared, state, say=print)

Called by hosts after `run_job` has returned, with the job's lock released. Every hook runs once per completion, also
when the host dies in the middle.
"""

from mozart_nb.hooks.chain import CHAIN_VARIABLE, Chain
from mozart_nb.hooks.record import HookResult, read_hooks
from mozart_nb.hooks.rows import hook_rows
from mozart_nb.hooks.run import ends_chain, hooks_of, run_hooks, words

__all__ = [
    "CHAIN_VARIABLE",
    "Chain",
    "HookResult",
    "ends_chain",
    "hook_rows",
    "hooks_of",
    "read_hooks",
    "run_hooks",
    "words",
]
