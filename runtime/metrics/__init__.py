"""Region similarity, boundary accuracy and IoU of masks."""
