"""Learning the one image that is to be restored."""
