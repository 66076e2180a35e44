"""What passes between steps. Never imports torch."""
