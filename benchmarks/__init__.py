"""Accuracy (J and F), latency, fidelity, and their reports."""

from .accuracy.evaluation import Evaluation, evaluate
from .accuracy.stability import Stability, temporal_stability, video_stability

__all__ = ["Evaluation", "Stability", "evaluate", "temporal_stability", "video_stability"]
