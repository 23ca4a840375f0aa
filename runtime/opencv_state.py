"""OpenCV's process-wide settings: its number of threads and its log level, each held while a `with` block needs it."""

from __future__ import annotations

import cv2

from .shared_setting import SharedSetting

# Several frames at once keep the cores busy already: with threads of OpenCV's own, DIS takes 21 ms of work, not 14.
# DIS also divides the frame by the number of threads: with one, its flow is the same on every machine.
single_threaded_opencv = SharedSetting(cv2.getNumThreads, cv2.setNumThreads, 1)

# For calls whose failure becomes an exception with a better message.
silent_opencv = SharedSetting(
    cv2.utils.logging.getLogLevel, cv2.utils.logging.setLogLevel, cv2.utils.logging.LOG_LEVEL_SILENT
)
