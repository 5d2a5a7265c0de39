"""Demonstrations: the whole story in one command, live text in a page of code, and the recogniser in a browser."""
