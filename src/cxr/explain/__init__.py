"""Where the network looks, and whether it looks at the lesion."""
