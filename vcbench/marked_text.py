"""Tables in Markdown files that a program writes, between two lines that mark their place."""

from __future__ import annotations

from vcbench.errors import UsageError


def replaced(text: str, marks: tuple[str, str], *, by: str) -> str:
    """The text with `by` between the marks; raises `UsageError` where they are missing."""
    begin, end = marks
    head, found_begin, rest = text.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found_begin or not found_end:
        raise UsageError(f"no place for the table: it needs the lines\n{begin}\n{end}")
    return f"{head}{begin}\n\n{by}\n\n{end}{tail}"
