"""Only values that fit a JSON schema, or a size, are stored."""

from __future__ import annotations

from typing import Any

from spellkeep.hooks.base import Validator
from spellkeep.hooks.result import HookResult


class Validation(Validator):
    """Refuses values that do not fit. With a schema it needs ``jsonschema`` (``pip install 'spellkeep[hooks]'``).

    Args:
        schema: a JSON schema, draft 2020-12 unless it says otherwise.
        bytes_max: longest encoded value.
    Raises: jsonschema.SchemaError for what is no schema.
    """

    points = ("before_set",)

    def __init__(self, schema: dict[str, Any] | None = None, *, bytes_max: int | None = None) -> None:
        self._bytes_max = bytes_max
        self._validator: Any = None
        if schema is not None:
            import jsonschema

            kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
            kind.check_schema(schema)
            self._validator = kind(schema)

    def decide(self, context: Any) -> HookResult | None:
        """Refuse it, with the first place that does not fit; the value itself is not shown."""
        if self._bytes_max is not None and context.value_bytes > self._bytes_max:
            return HookResult.cancel(f"{context.value_bytes} bytes, and at most {self._bytes_max} are allowed")
        if self._validator is not None:
            wrong = sorted(
                self._validator.iter_errors(context.value), key=lambda error: list(map(str, error.absolute_path))
            )
            if wrong:
                path = "".join(f"[{part!r}]" for part in wrong[0].absolute_path)
                return HookResult.cancel(f"${path} breaks {wrong[0].validator!r} of the schema")
        return None
