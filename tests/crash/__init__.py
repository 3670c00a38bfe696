"""What survives: killed writers, exits of every kind, forks, second openers, disks that refuse.

- ops: what a writer does, and the values it stores
- writer: the process that is killed
- model: what must be there, and the check against what is
- harness: start, kill, reopen, check
- python -m crash: the long form, with its table
"""
