"""GitHub as an app sees it; the only folder that imports PyGithub."""
