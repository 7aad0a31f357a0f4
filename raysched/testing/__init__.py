"""What tests of other code lean on: fakes that obey the same contracts as the real thing, and the
contract of engines, ``raysched.testing.engines``, which is imported by itself: it knows pixels.
"""

from raysched.testing.cluster import FakeCluster, job

__all__ = ["FakeCluster", "job"]
