"""Video to frames to masks to video. Imports neither torch nor the networks."""
