"""Names of the tags that tracking writes.

MLflow's UI shows no tag that begins with ``mlflow.``: what only this code reads, or is looked up once in a
year, stands below one prefix there. Every tag can be searched for.
"""

#: Begins the tags that MLflow's UI does not show.
INTERNAL = "mlflow.servable."

#: Which process writes a run, and where its events come from.
RUN_TAG, HOST_TAG, PID_TAG, SINCE_TAG = (f"{INTERNAL}{name}" for name in ("spool", "host", "pid", "started"))
#: The event that made a model or version.
EVENT_TAG = f"{INTERNAL}event"
#: Begins the names of library versions.
VERSION = f"{INTERNAL}version."

#: Why a run ended; the release that a registered version is.
NOTE_TAG, RELEASE_TAG = "servable.note", "servable.release"

#: MLflow's own: the text at the top of a run, model or experiment, in Markdown; the name of a run.
DESCRIPTION_TAG, NAME_TAG = "mlflow.note.content", "mlflow.runName"

#: Opens an experiment in the layout for models that are trained, not in that for agents.
KIND_TAG, TRAINING_KIND = "mlflow.experimentKind", "custom_model_development"
