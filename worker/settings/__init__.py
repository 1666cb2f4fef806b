"""The settings: environment variables, their checks and their reference page."""
