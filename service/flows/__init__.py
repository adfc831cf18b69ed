"""The product as functions: ingest, profile, review."""
