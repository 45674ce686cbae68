"""Where collections and items of masks are kept and found."""
