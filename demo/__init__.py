"""Demonstrations: the whole story in one command."""
