"""Many videos on one machine: `amc-batch`."""
