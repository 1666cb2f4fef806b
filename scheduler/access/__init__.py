"""Who does something, and what is stored of their passwords and tokens: for the actions and for the web."""
