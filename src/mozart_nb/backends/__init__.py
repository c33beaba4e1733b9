"""Who does the work: the `claude` program, or a rehearsal that costs nothing. One adapter of `engine.ports.Backend` each."""
