"""The command ``restorekit`` and ``python -m restorekit``."""

from __future__ import annotations

from restorekit.cli.main import main

if __name__ == "__main__":
    main()
