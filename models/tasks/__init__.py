"""The registry of tasks."""

from features.errors import ConfigError
from features.names import near
from models.task import Task
from models.tasks.audio_classification import AUDIO_CLASSIFICATION
from models.tasks.image_classification import IMAGE_CLASSIFICATION
from models.tasks.image_clustering import IMAGE_CLUSTERING
from models.tasks.image_regression import IMAGE_REGRESSION
from models.tasks.image_search import IMAGE_SEARCH
from models.tasks.keypoint_detection import KEYPOINT_DETECTION
from models.tasks.music_transcription import MUSIC_TRANSCRIPTION
from models.tasks.object_detection import OBJECT_DETECTION
from models.tasks.speech_recognition import SPEECH_RECOGNITION
from models.tasks.tabular_classification import TABULAR_CLASSIFICATION
from models.tasks.tabular_regression import TABULAR_REGRESSION
from models.tasks.text_classification import TEXT_CLASSIFICATION
from models.tasks.translation import TRANSLATION
from models.tasks.word_vectors import WORD_VECTORS

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        IMAGE_CLASSIFICATION,
        IMAGE_REGRESSION,
        KEYPOINT_DETECTION,
        OBJECT_DETECTION,
        IMAGE_SEARCH,
        IMAGE_CLUSTERING,
        AUDIO_CLASSIFICATION,
        SPEECH_RECOGNITION,
        MUSIC_TRANSCRIPTION,
        TEXT_CLASSIFICATION,
        TABULAR_CLASSIFICATION,
        TABULAR_REGRESSION,
        TRANSLATION,
        WORD_VECTORS,
    )
}


def find(name: str) -> Task:
    """Look a task up.

    Raises:
        ConfigError: there is none of this name; lists those there are.
    """
    if name not in TASKS:
        raise ConfigError(
            "no such task", got=name, expected=f"one of {', '.join(sorted(TASKS))}", todo=near(name, TASKS)
        )
    return TASKS[name]
