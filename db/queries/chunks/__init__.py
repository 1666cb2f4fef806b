"""Chunks: claim, extend and release their leases; send them to the broker; count their scans."""
