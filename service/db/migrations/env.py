"""Where Alembic begins. It runs this file under the name ``env_py``; imported as a module it does nothing."""

from __future__ import annotations

if __name__ == "env_py":
    from alembic import context

    from service.db.migrate import configure_and_run

    configure_and_run(context.config.attributes["connection"])
