"""What ``predict``, ``explain`` and similar commands send and receive."""
