"""What an exchange goes through on its way: the parts that journey.py joins with the stations."""
