"""``raysched.Client``: the service over HTTP, for programs. Knows the API and its words only.

It needs no Ray, no journal and no slide library: importing it is quick, and it works from any
machine that reaches the service. ``wire`` sends and waits, ``files`` downloads, ``live`` reads
server-sent events; the verbs are in ``client`` and the modules that it is put together from.
"""

from raysched.client.client import Client

__all__ = ["Client"]
