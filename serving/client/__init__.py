"""The client of the TensorFlow Serving API, sync and asyncio."""

from serving.client.client import Client

__all__ = ["Client"]
