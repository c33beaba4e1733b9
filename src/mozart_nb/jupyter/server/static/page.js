// Everything that pages do by themselves, each part in a module of its own.
