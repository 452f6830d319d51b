"""The demo: does a checkpoint from somebody else's data help a classifier that has few images of its own?"""
