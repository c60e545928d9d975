"""Whole loops: demo, reproduce, pretrain."""
