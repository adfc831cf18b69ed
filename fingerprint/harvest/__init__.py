"""What the components of a model do, gathered token by token from text and kept in pages."""
