"""One file a step; `script.py.mako` beside them is the form of the next."""
