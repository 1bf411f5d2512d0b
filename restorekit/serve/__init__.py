"""The local page: drop photographs on it, compare before and after, take the results home.

Importing the package loads neither gradio nor torch; `restorekit.serve.server` does.
"""

from restorekit.serve.choices import Choice, choices
from restorekit.serve.limits import Limits

__all__ = ["Choice", "Limits", "choices"]
