"""``python -m stemob_wrappers`` is the command ``stemob``."""

from stemob_wrappers.cli import main

if __name__ == "__main__":
    main()
