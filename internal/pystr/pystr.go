package pystr

import "unicode"

// IsSpace is str.isspace: Unicode white space and the four separators U+001C to U+001F.
func IsSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }
