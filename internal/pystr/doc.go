// Package pystr is what of Python's str has to be repeated to the letter, where prompts and
// templates come from programs in Python. It imports the standard library alone.
package pystr
