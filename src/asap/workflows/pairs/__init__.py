"""Make preference pairs."""
