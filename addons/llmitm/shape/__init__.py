"""What does the operator change? Pure: data in, data out."""
