"""Training the fusion model and measuring it."""
