"""Where to, and with which key?"""
