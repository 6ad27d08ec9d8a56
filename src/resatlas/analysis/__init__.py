"""What is inside a trained network: one file a question, each gives values with names and units."""
