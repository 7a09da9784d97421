"""Memory that a training process takes is kept for its next step."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = -1


def keep_freed_memory() -> bool:
    """Tell glibc not to hand large blocks back to the system when they are freed; returns whether
    it could be told.

    A step frees gradients of hundreds of megabytes that the next one takes again. Handed back in
    between, every page of them is zeroed by the kernel at its first touch. For a process that does
    nothing but train: it stays as large as it ever was.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
