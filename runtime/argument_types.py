"""Argument types for `argparse`."""

from __future__ import annotations

import argparse


def share(text: str) -> float:
    """Parse a number from 0 to 1. Raises argparse.ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 0 to 1, such as 0.98")
    return number


def positive(text: str) -> int:
    """Parse an integer of 1 or more. Raises argparse.ArgumentTypeError."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected an integer of 1 or more")
    return int(text)
