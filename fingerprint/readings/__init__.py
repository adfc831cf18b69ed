"""Everything that is read of one author, side by side: where the reads agree, and where they do not."""
