// Package pystr is what of Python's str has to be repeated to the letter, where prompts and
// templates come from programs in Python. It imports the standard library alone.
package pystr

import "unicode"

// IsSpace is str.isspace: Unicode white space and the four separators U+001C to U+001F.
func IsSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }
