"""What a reader learns of a reply, a stream or a request, in one form for all dialects.

Replies and streams are read by the vendors' official clients; two of them say the same if their forms are
equal.
"""
