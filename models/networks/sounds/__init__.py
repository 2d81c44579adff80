"""Networks of sounds: windows of a clip, frames of speech and of music."""
