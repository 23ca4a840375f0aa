"""J, F and temporal stability of masks: amc-eval."""
