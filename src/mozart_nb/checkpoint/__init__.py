"""The durable record of a job on disk: journal, snapshot, answers, lock, requests and the index of jobs."""
