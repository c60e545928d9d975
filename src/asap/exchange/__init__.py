"""Pairs in the formats of other tools: records to their rows and files, and back. Knows no store."""
