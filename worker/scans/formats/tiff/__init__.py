"""TIFF: tags, directories, layout."""
