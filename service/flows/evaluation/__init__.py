"""The phases of an evaluation; ``repository`` composes them, ``all`` runs a manifest."""
