"""What stands before the page: every request passes here first, and is refused with one line or handed on."""
