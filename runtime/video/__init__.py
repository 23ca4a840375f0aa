"""A video, a folder of images or a stream as frames with their times."""
