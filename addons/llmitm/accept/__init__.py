"""May this client do this?"""
