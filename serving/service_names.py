"""Names of the services and methods of the API."""

#: Beside TensorFlow Serving's services: names the models, which its own API cannot.
LIST_SERVICE = "servable.Models"


LIST_METHOD = f"/{LIST_SERVICE}/List"


PREDICTION = "tensorflow.serving.PredictionService"


MODEL = "tensorflow.serving.ModelService"


PROFILER = "tensorflow.ProfilerService"


#: Metadata of gRPC and header of HTTP that tell clients apart while a canary is under way.
CLIENT = "servable-client"


SIGNATURE_DEF = "signature_def"
