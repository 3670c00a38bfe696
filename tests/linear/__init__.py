"""Whether threads see one store: every call takes effect at one moment between its begin and its end.

- history: what threads did, what they were told, and between which moments
- running: threads that do it
- keys: one key at a time, the search of Wing and Gong with a memory of what was tried
- whole: what holds across keys: one order of all writes, batches in one piece in it, and reads that do not go back

A batch is one commit: nothing lies between its versions. Its changes reach readers one by one, in their order: a reader
may see the first and not yet the second, but never the second and then not the first.
"""
