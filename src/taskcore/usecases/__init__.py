"""What people do, one method each, in their words. Here transactions begin and end."""
