"""Who sends a request, and what they may do: known by a token, a proxy's header, a session, or as this
machine's user.
"""
