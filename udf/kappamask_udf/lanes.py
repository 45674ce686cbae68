"""One run of a network at a time: its buffers, and their way to the device and back."""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

Pin = Callable[[Floats], Callable[[], None]]
"""Locks an array's pages in memory, so that a GPU copies from it without a detour; returns what
undoes it."""


class Lane(Protocol):
    """Where one batch at a time is run."""

    feed: Floats
    """The network's input, (size, bands, tile, tile) or (size, tile, tile, bands)."""

    def load(self, tiles: Sequence[Floats] | Floats, is_nhwc: bool) -> None:
        """Make tiles, (bands, tile, tile) each, the input, with zeros for those that lack."""
        ...

    def run(self) -> Floats:
        """The network's output for what is in `feed`."""
        ...


class CpuLane:
    """Runs on the CPU, where nothing has to be copied."""

    def __init__(self, runtime: Any, shape: Sequence[int]):
        self.feed = self._own = np.zeros(shape, np.float32)
        self._runtime = runtime
        self._input, self._output = _names(runtime)

    def load(self, tiles: Sequence[Floats] | Floats, is_nhwc: bool) -> None:
        """As `Lane.load`; a single tile that lies as the network wants it is not copied."""
        if len(self._own) == 1 and not is_nhwc and tiles[0].flags.c_contiguous:
            self.feed = tiles[0][None]
            return
        self.feed = self._own
        fill(self.feed, tiles, is_nhwc)

    def run(self) -> Floats:
        """The network's output for what is in `feed`."""
        return np.asarray(self._runtime.run([self._output], {self._input: self.feed})[0])


class BoundLane:
    """Runs on a device with memory of its own: input and output are bound, so that each is copied
    once, from and to pages that stay in place.
    """

    def __init__(self, runtime: Any, shape: Sequence[int], out_shape: Sequence[int], pin: Pin):
        self.feed = np.zeros(shape, np.float32)
        self._answer = np.zeros(out_shape, np.float32)
        self._unpin = [pin(self.feed), pin(self._answer)]
        self._runtime = runtime
        self._input, self._output = _names(runtime)

    def load(self, tiles: Sequence[Floats] | Floats, is_nhwc: bool) -> None:
        """As `Lane.load`: into the pages that stay in place."""
        fill(self.feed, tiles, is_nhwc)

    def run(self) -> Floats:
        """The network's output for what is in `feed`."""
        binding = self._runtime.io_binding()
        binding.bind_cpu_input(self._input, self.feed)
        binding.bind_output(
            self._output,
            "cpu",
            element_type=np.float32,
            shape=self._answer.shape,
            buffer_ptr=self._answer.ctypes.data,
        )
        self._runtime.run_with_iobinding(binding)
        return self._answer.copy()

    def __del__(self) -> None:
        for undo in getattr(self, "_unpin", ()):
            undo()


def fill(feed: Floats, tiles: Sequence[Floats] | Floats, is_nhwc: bool) -> None:
    """Write tiles, (bands, tile, tile) each, into a feed and zeros into what is left of it."""
    for place, tile in zip(feed, tiles, strict=False):
        place[...] = tile.transpose(1, 2, 0) if is_nhwc else tile
    feed[len(tiles) :] = 0


def pin_cuda(values: Floats) -> Callable[[], None]:
    """Page-lock an array for CUDA; returns what undoes it. Does nothing where CUDA refuses, which
    costs speed only.
    """
    driver = ctypes.CDLL("libcuda.so.1")
    address = ctypes.c_void_p(values.ctypes.data)
    # 1: CU_MEMHOSTREGISTER_PORTABLE, for all contexts. Source: CUDA driver API.
    if driver.cuMemHostRegister_v2(address, ctypes.c_size_t(values.nbytes), 1):
        return lambda: None
    return lambda: driver.cuMemHostUnregister(address)


def _names(runtime: Any) -> tuple[str, str]:
    return runtime.get_inputs()[0].name, runtime.get_outputs()[0].name
