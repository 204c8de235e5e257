package train

// Every is something that is done after each Every-th round of a run and after its last.
type Every struct {
	// Every is the number of rounds between; 0: after the last only.
	Every int64
	// Rounds is how many the run has.
	Rounds int64
}

// Due tells whether it is done after done rounds.
func (e Every) Due(done int64) bool {
	return done == e.Rounds || e.Every > 0 && done%e.Every == 0
}

// Left is how often it is done after later rounds than done, the last one included.
func (e Every) Left(done int64) int64 {
	if done >= e.Rounds {
		return 0
	}
	left := int64(1)
	if e.Every > 0 {
		left += (e.Rounds-1)/e.Every - done/e.Every
	}
	return left
}
