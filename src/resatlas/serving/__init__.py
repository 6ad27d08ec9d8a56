"""The HTTP server that classifies images: Starlette on uvicorn, with its own admission of connections and images."""
