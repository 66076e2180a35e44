"""Who may ask, how often, over what, and what a request may be."""
