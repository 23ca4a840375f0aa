"""Latency measurements and their reports: amc-bench."""
