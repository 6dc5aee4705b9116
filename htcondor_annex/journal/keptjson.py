"""A JSON object that is kept as its text, for the many annexes whose parameters nobody looks at."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["KeptJson", "json_text"]


class KeptJson(Mapping[str, Any]):
    """A JSON object, read from its text whenever it is looked at.

    As text it takes a quarter of the memory, and it goes back into the journal byte for byte.

    Attributes:
        text: The JSON.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Hold a text.

        Raises:
            ValueError: If it is not JSON, or not an object.
        """
        if not isinstance(json.loads(text), dict):
            raise ValueError("it is no JSON object")  # noqa: TRY004  (one class for all)
        self.text = text

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  (JSON)
        """Return a field."""
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the fields' names."""
        return iter(self._read())

    def __len__(self) -> int:
        """Return how many fields there are."""
        return len(self._read())

    def __eq__(self, other: object) -> bool:
        """Compare with any mapping, as dictionaries are compared."""
        if isinstance(other, KeptJson) and self.text == other.text:
            return True
        return self._read() == other if isinstance(other, dict) else super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # no more than a dictionary has one

    def items(self) -> Any:  # noqa: ANN401  (a dictionary's view)
        """Return the fields, read once."""
        return self._read().items()

    def __repr__(self) -> str:
        """Return the text."""
        return f"KeptJson({self.text!r})"


def json_text(found: Mapping[str, Any]) -> str:
    """Return an object's JSON, on one line; that of one that was kept is its own."""
    if isinstance(found, KeptJson):
        return found.text
    return json.dumps(found, separators=(",", ":"))
