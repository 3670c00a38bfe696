"""LangGraph's savers side by side: what a conversation takes up, and what one turn of it costs."""
