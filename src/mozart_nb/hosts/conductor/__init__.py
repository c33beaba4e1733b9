"""The conductor: one process per user that carries many jobs and outlives kernels, terminals and web servers."""
