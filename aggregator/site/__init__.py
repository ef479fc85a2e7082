"""What every page of the site shares, whichever app it belongs to."""
