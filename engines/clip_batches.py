"""Input batches from the frames of clips, for range probes, calibration and comparison in an engine build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..export.compare.accuracy_gate import InputBatches
from ..runtime.files.onnx_file import OnnxFile

FRAMES = 40  # over all clips; ResNet-101 takes 3 s for each on two cores, to probe and to compare


def clip_batches(
    file: OnnxFile, clips: Sequence[str | Path], *, flow: str | Path = "dis", frames: int = FRAMES
) -> InputBatches:
    """Return the inputs of `file` for up to `frames` frames of `clips`, chosen evenly over slow and fast motion.

        batches = clip_batches(OnnxFile.read("amcnet.onnx"), ["a.mp4", "frames/"])
        batches[0]["image"].shape  # (1, 3, 384, 384)

    clips: videos, folders of images, or other sources of `open_frames`. flow: "dis", or the ONNX file of a PWC-Net or
    RAFT, for the motion that an AMC-Net gets. No clips give no batches. Raises InputError for a clip that is unreadable
    or has one frame, ModelFileError for `flow`.
    """
    if not clips:
        return ()
    from ..runtime.inputs.clip_inputs import ClipInputs
    from ..runtime.inputs.frame_selection import choose_frames

    return [item.inputs for item in ClipInputs(file, clips, flow=flow, chosen=choose_frames(clips, frames))]
