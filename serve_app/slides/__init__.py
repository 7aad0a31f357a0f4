"""Slides of users: uploaded or registered, checked, kept as files. Knows no HTTP and no Ray."""
