"""The client side: reads, lists, watches and changes objects, and turns API errors into messages.

The only package of the command line that sends requests.
"""
