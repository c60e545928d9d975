"""Foundations of every package: records, vocabulary, manifests, errors, seeds, hashes, files, registries. No torch."""
