"""How a training ends early and resumes: interruptions, failures, checkpoints, what they belong to."""
