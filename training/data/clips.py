"""The frames of DAVIS with their flows: decoded once, kept in memory, flows kept on disk."""

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
from ...runtime.video.image_source import read_image
from .davis import Sequence, read_mask
from .flow import dis_flow
from .sample import Sample

GAPS = (1, -1, 2, -2, 3, -3)  # frames from the sample to the one that its flow leads to
_KEPT_PX = 192  # DIS's medium preset computes at half of its 384 px: nothing is lost


class Clips:
    """Annotated frames, numbered over all sequences. Memory: 0.9 GB for DAVIS's 2079 frames at 512×288."""

    def __init__(self, sequences: list[Sequence], flow_folder: Path) -> None:
        self.frames = [(sequence, index) for sequence in sequences for index in range(len(sequence.frames))]
        with ThreadPoolExecutor(available_cores()) as pool:
            files = [(path, read_image) for sequence in sequences for path in sequence.frames]
            files += [(path, read_mask) for sequence in sequences for path in sequence.annotations]
            arrays = pool.map(lambda file: file[1](file[0]), files)
            self._pictures = {path: array for (path, _), array in zip(files, arrays, strict=True)}
            flows = pool.map(lambda sequence: self._open_flows(sequence, flow_folder), sequences)
            progress = tqdm(flows, "flow", total=len(sequences), disable=not sequences)
            self._flows = {sequence.name: flow for sequence, flow in zip(sequences, progress, strict=True)}

    def sample(self, number: int, choose: Callable[[list[int]], int]) -> Sample:
        """Frame `number` with its flow over the gap that `choose` picks from those which stay in the sequence."""
        sequence, index = self.frames[number]
        gap = choose([gap for gap in GAPS if 0 <= index + gap < len(sequence.frames)])
        return Sample(
            image=self._pictures[sequence.frames[index]],
            flow=self._flows[sequence.name][index, GAPS.index(gap)].astype(np.float32),
            mask=self._pictures[sequence.annotations[index]],
        )

    def still(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A random frame (H, W, 3) uint8 RGB and its mask (H, W), 0 or 255."""
        sequence, index = self.frames[int(rng.integers(len(self.frames)))]
        return self._pictures[sequence.frames[index]], self._pictures[sequence.annotations[index]]

    def _open_flows(self, sequence: Sequence, folder: Path) -> NDArray[np.float16]:
        """(frames, gaps, 192, 192, 2) float16 in px of the video, computed if `folder` has them not; read lazily."""
        path = folder / f"{sequence.name}.npy"
        shape = (len(sequence.frames), len(GAPS), _KEPT_PX, _KEPT_PX, 2)
        if not path.is_file() or np.load(path, mmap_mode="r").shape != shape:
            make_folder(folder)
            flows = np.zeros(shape, np.float16)
            pictures = [self._pictures[frame] for frame in sequence.frames]
            for index, picture in enumerate(pictures):
                for place, gap in enumerate(GAPS):
                    if 0 <= index + gap < len(pictures):
                        flow = dis_flow(picture, pictures[index + gap])
                        flows[index, place] = cv2.resize(flow, (_KEPT_PX, _KEPT_PX), interpolation=cv2.INTER_AREA)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, flows)
        return np.asarray(np.load(path, mmap_mode="r"))
