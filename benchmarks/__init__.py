"""Accuracy (J and F), latency, fidelity, and their reports."""

from .evaluation import Evaluation, evaluate
from .stability import Stability, temporal_stability, video_stability

__all__ = ["Evaluation", "Stability", "evaluate", "temporal_stability", "video_stability"]
