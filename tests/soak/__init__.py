"""What a store costs after ten million operations: memory, descriptors and threads that stay as they were.

- work: the operations, by a few threads over a bounded number of keys, each answer checked
- watch: samples of the process, taken while they run
- criteria: what the samples must be like
- python -m soak: the long form, with its figures
"""
