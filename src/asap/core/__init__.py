"""What every room stands on: records, vocabulary, manifests, errors, seeds, hashes, files, registries. No torch."""
