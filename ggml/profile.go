package ggml

// OpTime is the time that all nodes of one operation took in a step.
type OpTime struct {
	Op      string  `json:"op"`
	Nodes   int     `json:"nodes"`
	Seconds float64 `json:"seconds"`
}

// OpTimes tells where the time of the last forward and backward pass went, most first.
// It is empty where the native layer does not time its nodes.
func (s *Step) OpTimes() []OpTime { return nil }
