"""How did the other one say it? Configurations of other gateways, read and said again as one of ours.

A reader for each kind makes a plan of what it finds, one writer makes a configuration of the plan, and what
has no counterpart is told with its place and the reason. Pure.
"""
