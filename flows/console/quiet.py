"""Keep TensorFlow's start-up chatter off the terminal."""

from serving.quiet import native_stderr

__all__ = ["native_stderr"]
