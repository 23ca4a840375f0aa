"""Frames of DAVIS in memory, with optical flow cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...runtime.files.atomic import make_folder, replacing
from ...runtime.machine_info import available_cores
from ...runtime.video.read_image import read_image
from .davis import Sequence, read_mask
from .flow import GRID_PX, FlowFunction, dis_flow
from .sample import Sample

GAPS = (1, -1, 2, -2, 3, -3)  # frames from the sample to the second frame of its flow
_STORED_PX = 192  # side length; DIS's medium preset computes at half of its 384 px, so nothing is lost


class Clips:
    """Annotated frames, numbered over all sequences. Memory: 0.9 GB for the 2079 frames of DAVIS at 512×288.

    flow_folder: cache of the flows of `flow`, filled on first use; a folder for each way to compute flow. Raises
    InputError for unreadable files.
    """

    def __init__(self, sequences: list[Sequence], flow_folder: Path, flow: FlowFunction = dis_flow) -> None:
        self._flow = flow
        self.frames = [(sequence, index) for sequence in sequences for index in range(len(sequence.frames))]
        with ThreadPoolExecutor(available_cores()) as pool:
            files = [(path, read_image) for sequence in sequences for path in sequence.frames]
            files += [(path, read_mask) for sequence in sequences for path in sequence.annotations]
            arrays = pool.map(lambda file: file[1](file[0]), files)
            self._images = {path: array for (path, _), array in zip(files, arrays, strict=True)}
            flows = pool.map(lambda sequence: self._open_flows(sequence, flow_folder), sequences)
            progress = tqdm(flows, "flow", total=len(sequences), disable=not sequences)
            self._flows = {sequence.name: flow for sequence, flow in zip(sequences, progress, strict=True)}

    def sample(self, number: int, choose: Callable[[list[int]], int]) -> Sample:
        """Return frame `number` with its flow over one gap.

        choose: selects a gap, in frames, from those of GAPS that stay within the sequence.
        """
        sequence, index = self.frames[number]
        gap = choose([gap for gap in GAPS if 0 <= index + gap < len(sequence.frames)])
        return Sample(
            image=self._images[sequence.frames[index]],
            flow=self._flows[sequence.name][index, GAPS.index(gap)].astype(np.float32),
            mask=self._images[sequence.annotations[index]],
        )

    def still(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return a random frame (H, W, 3) uint8 RGB and its mask (H, W) uint8, 0 or 255."""
        sequence, index = self.frames[int(rng.integers(len(self.frames)))]
        return self._images[sequence.frames[index]], self._images[sequence.annotations[index]]

    def _open_flows(self, sequence: Sequence, folder: Path) -> NDArray[np.float16]:
        """Return the flows of a sequence, memory-mapped: (frames, gaps, 192, 192, 2) FP16 in px of the video.

        They are computed first if `folder` does not have them.
        """
        path = folder / f"{sequence.name}.npy"
        shape = (len(sequence.frames), len(GAPS), _STORED_PX, _STORED_PX, 2)
        if not path.is_file() or np.load(path, mmap_mode="r").shape != shape:
            make_folder(folder)
            flows = np.zeros(shape, np.float16)
            images = [self._images[frame] for frame in sequence.frames]
            for index, image in enumerate(images):
                for place, gap in enumerate(GAPS):
                    if 0 <= index + gap < len(images):
                        flow = self._flow(image, images[index + gap], GRID_PX)
                        flows[index, place] = cv2.resize(flow, (_STORED_PX, _STORED_PX), interpolation=cv2.INTER_AREA)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, flows)
        return np.asarray(np.load(path, mmap_mode="r"))
