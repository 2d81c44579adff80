"""The client of the TensorFlow Serving API, sync and asyncio; it does not import TensorFlow."""

from serving.client.client import Client

__all__ = ["Client"]
