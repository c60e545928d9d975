"""The only code that opens stores, reads configs and puts rooms together, in wings that import downward only."""
