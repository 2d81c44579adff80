"""Keep TensorFlow's start-up chatter off the terminal."""

from serving.process.quiet import native_stderr

__all__ = ["native_stderr"]
