"""Random changes of sounds while training: of windows, of whole spectrograms, of windows with notes."""
