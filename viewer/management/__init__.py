"""Commands of the viewer."""
