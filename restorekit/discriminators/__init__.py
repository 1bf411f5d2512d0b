"""Discriminators of the core: none so far. Plugins bring theirs, such as PatchGAN in restorekit-pix2pix."""
