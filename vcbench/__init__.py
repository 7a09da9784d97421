"""vcbench: a benchmark and evaluation harness for voice-conversion architectures."""

__version__ = "0.1.0"
