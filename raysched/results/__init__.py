"""Writing and reading results: what the tasks leave on disk, and what a person takes away.

Knows imaging, but neither scheduling nor Ray. ``stages`` holds the four steps of an attempt as
plain functions on folders; the cluster runs them in lanes.
"""
