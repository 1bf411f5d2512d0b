"""One step: the task, its phases, and the update of one network."""
