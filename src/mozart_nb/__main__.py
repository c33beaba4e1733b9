"""`python -m mozart_nb`."""

from __future__ import annotations

from mozart_nb.cli.main import main

if __name__ == "__main__":
    main()
