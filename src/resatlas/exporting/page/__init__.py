"""One HTML file that classifies images with a trained network, in a browser and offline."""
