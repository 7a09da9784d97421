"""Measuring speed side by side: `vcbench bench`, and the gates of `pytest --benchmark`."""
