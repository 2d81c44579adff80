"""The gRPC and REST doors, flags, start and stop."""
