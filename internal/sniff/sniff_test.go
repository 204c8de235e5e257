package sniff

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatDownloadsLeaveIsNamed(t *testing.T) {
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("ab", 32) +
		"\nsize 94000000\n"
	safetensors := string(binary.LittleEndian.AppendUint64(nil, 60)) + `{"model.embed_tokens.weight":{"dtype":"F32"`
	for _, c := range []struct{ name, head, want string }{
		{"a Git LFS pointer", pointer, "git lfs pull"},
		{"a web page", "<!DOCTYPE html>\n<html class=\"\">", "a web page"},
		{"a web page behind blanks", "\n\n  <html><head>", "a web page"},
		{"a refusal", `{"error":"Repository not found"}`, `"{"error":"Repository not found"}"`},
		{"a refusal in words", "Invalid username or password.", "a server's refusal"},
		{"a PyTorch file", "PK\x03\x04\x00\x00", "convert_hf_to_gguf.py"},
		{"safetensors", safetensors, "safetensors"},
		{"the older form", "tjgg\x03\x00\x00\x00", "before GGUF"},
		{"gzip", "\x1f\x8b\x08\x00", "compressed"},
		{"text", "hello, this is a text file", ""},
		{"a model", "GGUF\x03\x00\x00\x00\x00\x00\x00\x00", ""},
		{"nothing", "", ""},
		{"zeros", string(make([]byte, 64)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Instead([]byte(c.head))
			if c.want == "" {
				require.Empty(t, got)
				return
			}
			require.Contains(t, got, c.want)
		})
	}
}
