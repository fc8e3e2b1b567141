"""The migration itself, stage by stage: each has a plan that only reads and an apply that is recorded."""
