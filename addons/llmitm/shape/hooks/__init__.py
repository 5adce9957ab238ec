"""May the operator's own functions change this?"""
