"""The replay backend: plays a recorded chat through the same path as every agent, without a key or a network."""

from coder_nb.backends.replay.session import ReplayBackend

__all__ = ["ReplayBackend"]
