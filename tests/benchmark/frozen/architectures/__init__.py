"""Written by tests/benchmark/freeze.py; see there. Never edited."""
