"""What every operation of the API shares, whichever app it belongs to."""
