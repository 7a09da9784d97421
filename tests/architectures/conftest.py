"""Fixtures of the architecture tests."""

from one_thread import one_thread  # noqa: F401
