"""raysched on Ray: the actor that holds the core, the lanes, the tasks, and the way in.

The only package that imports ray. ``gateway`` and ``session`` are what others use; ``actor`` is a
mailbox; ``lanes`` and ``runs`` give the cluster work, ``scheduler_actor`` and ``session`` start and
end what does it.
"""

from raysched.config import set_ray_environment

# Here and not in a function: Ray reads these while it is imported, which the modules below do.
set_ray_environment()
