package eval

import "time"

// Progress is reported after every batch.
type Progress struct {
	Benchmark string
	Protocol  string
	Model     string
	Done      int   // items or requests finished
	Total     int   // of so many
	Tokens    int64 // tokens evaluated or generated so far, those of an earlier process included

	// The rest is filled in by a suite that was told all it has to do ([Suite.Run]).
	Part, Parts     int           // this is measurement Part of Parts, from 1
	TokensPerSecond float64       // of this measurement, 0: not known
	ETA             time.Duration // of the whole suite, 0: not known yet
}
