"""Commands about summaries."""
