"""Git repositories as a source of contributions; the only folder that imports GitPython."""
