"""Looking at jobs from outside, present and past: reads what is on disk, without any lock, and changes nothing."""
