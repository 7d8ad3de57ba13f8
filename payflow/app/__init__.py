"""The composition root: the one room that knows every other. What is opened here is closed here, in the other order."""
