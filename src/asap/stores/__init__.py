"""What lies on disk: pairs, latents, checkpoints, generations, verdicts. Append, read, verify, resume; nothing else."""
