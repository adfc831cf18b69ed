"""The drift of a diff against a team signature, calibrated."""
