"""The magics `%mozart` and `%%mozart`: their lines, what they do, how cells wait."""
