package data

import (
	"bytes"
	"strings"

	"steer/internal/sniff"
)

// insteadBytes is how much of a file instead looks at.
const insteadBytes = 1 << 10

// instead says what a file is that begins as something a download leaves in place of data (a
// Git LFS pointer, a web page, a server's refusal, an archive), and what to do about it; ""
// for others. JSON is data whatever its keys are, and a text may be of anything.
func instead(format Format, head []byte) string {
	head = head[:min(len(head), insteadBytes)]
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case len(text) == 0, text[0] == '{':
		return ""
	case format == FormatText && !bytes.HasPrefix(head, []byte("version ")):
		return ""
	}
	return sniff.Instead(head)
}

// notInstead is an error for such a file.
func notInstead(format Format, path string, head []byte) error {
	what := instead(format, head)
	if what == "" {
		return nil
	}
	shown := strings.ToValidUTF8(string(head[:min(len(head), 60)]), "�")
	return &Error{Format: format, Path: path, Want: "data", Got: quote(shown), Mend: what, Err: ErrWrongFormat}
}
