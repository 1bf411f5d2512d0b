"""Clips and animations. PyAV, an extra, is imported only when a clip is read."""

from restorekit.data.images.frames import is_animation
from restorekit.restoring.video.clip import VideoProgress, VideoReport, restore_video
from restorekit.restoring.video.names import can_read_clips, clip_target, is_clip_name, partial_of
from restorekit.restoring.video.options import CODECS, VideoOptions

__all__ = [
    "CODECS",
    "VideoOptions",
    "VideoProgress",
    "VideoReport",
    "can_read_clips",
    "clip_target",
    "is_animation",
    "is_clip_name",
    "partial_of",
    "restore_video",
]
