"""What survives a lost page cache: power cuts of real file systems, with the acknowledgements kept outside of them.

- volume: a file system in a file; mounted, cut by the shutdown ioctl, mounted again
- writer: the process that works in it
- lie: planted syncs that do nothing
- life: one writer from its start to its end
- agents: the same with agents in place of plain entries
- said: what the writer told, read back
- promise: which acknowledged writes a durability word allows to be lost, and the check of those that were
- harness: write, cut, mount, open, check
- python -m powercut: the long form, with its table

The device under the file system keeps every block it was given, in order: a cut loses what the file system had not
written, so it shows a missing sync of a file or a directory, and not a device that lies about its cache.
"""
