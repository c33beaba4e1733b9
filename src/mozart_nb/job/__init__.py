"""What to do: the job file, its checks, the plan and the prompts. Pure but for `load` and `items`."""
