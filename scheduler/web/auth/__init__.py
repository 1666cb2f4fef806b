"""Who somebody is, and what they may do: by a token, a proxy's header, a session, or as this machine's user."""
