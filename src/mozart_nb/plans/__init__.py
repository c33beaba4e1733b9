"""From a loaded job to one that is ready to run: checked, planned, frozen, estimated, decided on. Starts nothing."""
