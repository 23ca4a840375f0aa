"""Many videos, on one machine or on a Ray cluster: `amc-batch`."""
