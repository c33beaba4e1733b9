"""How a job runs: state as the fold of its events, policy as a pure function of it, and one driver that acts."""
