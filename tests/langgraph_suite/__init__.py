"""LangGraph's own tests, from its source distributions, with our saver and store in place of its SQLite ones.

``make langgraph-suite`` downloads them into target, runs each test with the stock class and with ours, and prints those
that pass stock and fail ours. Nothing of them is part of this repository.
"""
