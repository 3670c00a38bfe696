"""``python -m spellkeep.replay``: started by a replay in another process, and of no use to people."""

from spellkeep.replay.worker import main

main()
