"""LangGraph's checkpointer and store on a Spellkeep store: ``pip install 'spellkeep[langgraph]'``.

    from spellkeep.adapters.langgraph import SpellkeepSaver

    with SpellkeepSaver.from_conn_string("./state") as saver:
        graph = builder.compile(checkpointer=saver)

Source: docs/guide/langgraph.md.
"""

from spellkeep.adapters.langgraph.importer import ImportReport, import_sqlite
from spellkeep.adapters.langgraph.saver import SpellkeepSaver
from spellkeep.adapters.langgraph.store import SpellkeepStore
from spellkeep.adapters.langgraph.types import allow

__all__ = ["ImportReport", "SpellkeepSaver", "SpellkeepStore", "allow", "import_sqlite"]
