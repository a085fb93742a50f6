"""What the field's methods compute: pure tensor functions, one small file for each registry entry."""
