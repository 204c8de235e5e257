// Package data reads the data sets that steer learns from and is measured on,
// in their official file formats, and turns text into token sequences.
//
// Three layers, each usable alone:
//
//   - Readers, one file a format: ReadDeontology, ReadHH, ReadGuanaco,
//     ReadAnecdotes, ReadToxiGen and so on give typed rows. What people have data of
//     their own in are shapes (shape.go): rows of named columns in JSON, parquet, CSV
//     or TSV, read by LoadConversations, LoadPairs, LoadPrompts, ReadLabelled and
//     ReadRanked. Detect recognises a format, Inspect describes a file, and a Source in a configuration names a
//     file with its format, split and limit.
//   - Templates: a Conversation is rendered into Segments, which know whether
//     they belong to an answer, and Tokenize turns segments into ids and a loss
//     mask (true = counts).
//   - Token batches: Fit applies the length limit, PackIsolated and PackRunOn build blocks,
//     Permutation, Split and Sample are deterministic functions of a seed. A Fingerprint
//     tells changed data.
//
// Every path may name a plain, gzip or Zstandard file, and "x.csv" finds
// "x.csv.gz" or "x.csv.zst" where only that exists.
//
// Rows are kept byte for byte: fields keep their trailing blanks and their line
// ends. A malformed row stops reading with an *Error that names format, file,
// line, field, what was expected and how to mend it. Input is never trusted:
// file, record and row counts are bounded (see MaxFileBytes) and text has to be
// UTF-8.
//
//	rows, err := data.ReadDeontology("ethics/deontology/deontology_train.csv")
//
//	tpl, err := data.NewTemplate(data.TemplateChatML, nil)
//	segments := tpl.Render(conversation.Messages)
//	example, err := data.Tokenize(tok, segments, data.TokenizeOptions{})
//
// It may import ggml/lm, for sequences and tokenizers, and internal. Above it stand the trainers, rewards and
// eval; where files come from is internal/fetch's.
package data
