"""Stores on disk: pairs, latents, checkpoints, generations, verdicts. They append, read, verify and resume."""
