"""One-off measurements, run from a clone and not part of the wheel."""
