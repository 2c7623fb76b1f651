"""Jobs: many recordings scored in the background, kept in one SQLite file."""
