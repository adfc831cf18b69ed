"""The HTTP interface; never imports torch."""
