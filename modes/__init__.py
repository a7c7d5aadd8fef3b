"""What "in this context" means: the instance mode and its pure decisions. Nothing else branches on the mode."""
