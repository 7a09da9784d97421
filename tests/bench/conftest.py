"""Fixtures of the tests of measuring."""

from one_thread import one_thread  # noqa: F401
