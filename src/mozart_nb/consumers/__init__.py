"""What reads the events of a running job: progress, log, index of jobs."""
