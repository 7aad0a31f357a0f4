"""raysched on Ray: the actor that holds the core, the lanes, the tasks, and the way in.

The only package that imports ray. ``gateway`` and ``session`` are what others use; ``actor`` is a
mailbox; ``lanes`` and ``runs`` are the two files that change the cluster.
"""
