"""What the service remembers: tables, the engine, every query. SQLModel and SQLAlchemy live here alone."""
