"""Statistics, power and verdicts of finished runs, from their files alone."""
