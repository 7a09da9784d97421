"""Architectures and objectives that come with vcbench, one file per paper or family."""
