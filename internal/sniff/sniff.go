package sniff

import (
	"bytes"
	"slices"
	"strings"
)

// Instead says what a file that begins with head is, and what to do about it, where that is
// something that is often found in place of another file; else it is "". head should hold the
// first kilobyte, or less where the file is shorter.
func Instead(head []byte) string {
	text := strings.ToLower(string(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")))
	switch {
	case bytes.HasPrefix(head, []byte("version https://git-lfs.github.com/spec/")):
		return "this is a Git LFS pointer of a hundred bytes, not the file it stands for: " +
			"run \"git lfs pull\" in that repository, or download the file itself (on Hugging Face its address has " +
			"/resolve/, not /raw/)"
	case begins(text, "<!doctype html", "<html", "<head"):
		return "this is a web page, not the file: download it again by the address of the file itself " +
			"(on Hugging Face it has /resolve/, not /blob/; a page that asks to log in needs a token)"
	case begins(text, `{"error"`, "invalid username or password", "access to model", "entry not found"):
		return "this is a server's refusal, not the file: \"" + firstLine(head) + "\""
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "this is a ZIP archive (PyTorch's .bin and .pt files are such): " +
			"convert a model with llama.cpp's convert_hf_to_gguf.py, unpack anything else"
	case begins(string(head), "ggjt", "tjgg", "lmgg", "fmgg"):
		return "this is llama.cpp's form of 2023, from before GGUF: convert the model again with a current llama.cpp"
	case IsSafetensors(head):
		return "this is a safetensors file: convert a model with llama.cpp's convert_hf_to_gguf.py; " +
			"an adapter is given as its folder"
	case begins(string(head), "\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd7zXZ"):
		return "this file is compressed: unpack it first (gunzip, zstd -d, xz -d)"
	}
	return ""
}

func begins(text string, with ...string) bool {
	return slices.ContainsFunc(with, func(s string) bool { return strings.HasPrefix(text, s) })
}

// IsSafetensors tells whether a file begins as a safetensors file does: the length of a header,
// then the header, an object of JSON.
func IsSafetensors(head []byte) bool {
	return len(head) > 9 && head[8] == '{' && bytes.HasPrefix(head[4:], []byte{0, 0, 0, 0})
}

// firstLine is the beginning of a text, printable.
func firstLine(head []byte) string {
	line, _, _ := strings.Cut(string(head), "\n")
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, line)
	return line[:min(len(line), 120)]
}
