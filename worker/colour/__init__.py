"""Colour science, shared by scans, model and training: Lab, gamut, ICC profiles."""
