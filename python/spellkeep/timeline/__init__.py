"""What happened, in order, and what caused what: the log, asked by correlation, scope, agent, time or type.

    with sk.correlate("req-42", actor="anna"):
        ...
    print(state.timeline(correlation="req-42"))
    print(state.why(scope, "plan"))

Nothing is written for it: each record has its correlation id, actor and cause. It goes back as far as the log does
(``keep_log_bytes``, ``keep_log_days``).
"""

from spellkeep.timeline.export import chrome_trace, json_lines, mermaid, otlp
from spellkeep.timeline.page import html_page
from spellkeep.timeline.timeline import Gap, Timeline, TimelineStats, type_of
from spellkeep.timeline.why import Why

__all__ = [
    "Gap",
    "Timeline",
    "TimelineStats",
    "Why",
    "chrome_trace",
    "html_page",
    "json_lines",
    "mermaid",
    "otlp",
    "type_of",
]
