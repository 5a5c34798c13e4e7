"""The planner: in which order nodes run, how long each buffer lives, and where it lies."""
