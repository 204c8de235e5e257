// Package chattest has what the tests of conversations talk with: a tokenizer of bytes, and a model that
// says given texts. It may import package chat; only tests import it.
package chattest
