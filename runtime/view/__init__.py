"""`amc-view`: one page about a run of `amc-infer`."""
