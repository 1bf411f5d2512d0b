"""One run: its folder, loop, logs, evaluation and end."""
