// Package jsonlines reads what people hand in to be scored or answered: a JSON object a line, or a
// text a line. Errors name the source and the line. The formats of data sets are package data's.
//
// It may import rl/data, for the bounds of a line and the form of messages. Packages score and chat
// make their rows of it.
package jsonlines
