"""Every query, by noun. Each takes an open session; the caller decides where the transaction ends."""
