"""demo: agents replay conversations in a process that is killed again and again, and nothing acknowledged is lost.

- ``made``: conversations of its own, from a seed
- ``ack``: what the worker says through the pipe after each write
- ``worker``: the process that is killed
- ``supervisor``: starts it, kills it, compares
- ``command``: the command and its table
"""
