"""``python -m spellkeep``: the command line."""

from spellkeep.cli import main

if __name__ == "__main__":
    main()
