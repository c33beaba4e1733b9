"""Who owns the event loop while a job runs."""
