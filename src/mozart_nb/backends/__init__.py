"""Who does the work: the `claude` program, or a rehearsal that costs nothing. Each is an `engine.ports.Backend`."""
