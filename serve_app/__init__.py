"""HTTP on Ray Serve: stateless replicas that ask the scheduler actor.

``routes`` is the table of everything that can be asked, ``web`` makes the ASGI application,
``app`` is what Serve deploys, ``service`` starts and stops it for ``raysched up``. Importing this
package imports neither FastAPI nor Ray.
"""
