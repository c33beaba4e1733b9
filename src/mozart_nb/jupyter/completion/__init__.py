"""What Tab offers on the line of a magic and in the YAML below it."""
