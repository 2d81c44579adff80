"""Which version serves: moving labels and aliases together, the trial of a canary, and watching both."""
