"""The model repository, the model server that speaks TensorFlow Serving's API, and its client."""
