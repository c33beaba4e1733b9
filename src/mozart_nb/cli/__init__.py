"""The command line: one module per topic, and how things are shown."""
