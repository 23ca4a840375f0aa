"""Process-wide settings of OpenCV, as context managers: number of threads and log level."""

from __future__ import annotations

import cv2

from .shared_setting import SharedSetting

# Frames are processed in parallel, so OpenCV's own threads only add overhead: DIS costs 21 ms of CPU time with them,
# 14 ms without. DIS also splits the frame by the number of threads: with one, its flow is the same on every machine.
single_threaded_opencv = SharedSetting(cv2.getNumThreads, cv2.setNumThreads, 1)

# For calls whose failure is reported by an exception.
silent_opencv = SharedSetting(
    cv2.utils.logging.getLogLevel, cv2.utils.logging.setLogLevel, cv2.utils.logging.LOG_LEVEL_SILENT
)
