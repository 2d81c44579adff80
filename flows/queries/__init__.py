"""What ``predict``, ``explain`` and their kin send and receive."""
