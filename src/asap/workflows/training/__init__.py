"""Train a model on pairs: config, latents, loop, validation, export."""
