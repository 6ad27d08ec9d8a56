"""Tables, charts and pages, read from run folders alone."""
