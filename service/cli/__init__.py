"""The command line: one file a group of commands, each command a thin use of a flow."""
