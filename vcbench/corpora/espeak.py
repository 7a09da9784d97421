"""espeak-ng through ctypes: text in, waveform out, nothing played.

The library and its voices come in the wheel `espeakng-loader` (`pip install 'vcbench[demo]'`).
espeak-ng is GPL-3; vcbench neither contains nor links it, and runs without it.

The library keeps its state in C globals, and earlier speech changes later speech a little. Whoever
wants the same bytes twice must say the same things in the same order in a fresh process.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcbench.errors import PluginError

# espeak-ng/speak_lib.h
_SYNCHRONOUS = 2  # call back before espeak_Synth returns, and do not play
_DO_NOT_EXIT = 0x8000  # return an error instead of ending the process
_CHARACTERS_UTF8 = 1
_POSITION_CHARACTER = 1
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Voice:
    """A way of speaking: `variant` names a file in espeak-ng's `voices/!v`, which sets formants.

    `words_per_minute` is the rate; `pitch` and `pitch_range` run from 0 to 99.
    """

    variant: str
    words_per_minute: int
    pitch: int
    pitch_range: int = 50


class Espeak:
    """The synthesiser of this process; make one only.

    `sample_rate` is that of its waveforms in Hz. Raises `PluginError` if `espeakng-loader` is not
    installed, or holds no library that runs here.
    """

    def __init__(self) -> None:
        require_espeak()
        import espeakng_loader

        self._data = Path(espeakng_loader.get_data_path())
        try:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise PluginError(f"espeak-ng does not load on this machine: {error}") from None
        self._library = library
        self._chunks: list[NDArray[np.int16]] = []
        library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        library.espeak_Synth.argtypes = [
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
            *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        ]
        path = str(self._data).encode()
        self.sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, path, _DO_NOT_EXIT)
        if self.sample_rate <= 0:
            raise PluginError(
                f"espeak-ng cannot start with the voices in {self._data}; "
                "reinstall it: pip install --force-reinstall espeakng-loader"
            )
        self._callback = _Callback(self._collect)  # kept here: C holds no reference to it
        library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: Voice, *, seed: int) -> NDArray[np.float64]:
        """Speak English text; the waveform (samples,) lies in [-1, 1].

        `seed` is for the random numbers behind flutter and breath. Raises `PluginError` if the
        voice does not exist or nothing came out.
        """
        if not (self._data / "voices" / "!v" / voice.variant).is_file():
            raise PluginError(f"espeak-ng in {self._data} has no voice variant '{voice.variant}'")
        self._chunks.clear()
        library = self._library
        status = library.espeak_SetVoiceByName(f"en+{voice.variant}".encode())
        for parameter, value in (
            (_RATE, voice.words_per_minute),
            (_PITCH, voice.pitch),
            (_RANGE, voice.pitch_range),
        ):
            status = status or library.espeak_SetParameter(parameter, value, 0)
        library.espeak_ng_SetRandSeed(seed)
        data = text.encode()
        status = status or library.espeak_Synth(
            data, len(data) + 1, 0, _POSITION_CHARACTER, 0, _CHARACTERS_UTF8, None, None
        )
        if status or not self._chunks:
            raise PluginError(f"espeak-ng (status {status}) could not say {text!r} as {voice}")
        return np.concatenate(self._chunks) / 32768

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: object) -> int:
        if samples and count > 0:
            # Copied: the buffer belongs to the library, which fills it again.
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16))
        return 0  # go on


def require_espeak() -> None:
    """Raises `PluginError`, saying what to install, unless `espeakng-loader` is there."""
    try:
        import espeakng_loader  # noqa: F401
    except ImportError:
        raise PluginError(
            "corpus 'demo' needs the package espeakng-loader, which is not installed: "
            "pip install 'vcbench[demo]'"
        ) from None
