"""The API of what is asked for, bought, settled and paid."""
