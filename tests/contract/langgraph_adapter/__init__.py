"""LangGraph's interfaces: its conformance suite, and what a user of its savers and stores counts on."""
