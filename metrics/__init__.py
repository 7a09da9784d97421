"""Metrics that come with vcbench, one file per family."""
