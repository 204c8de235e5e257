package eval

// Protocols: how a benchmark turns a model into predictions.
const (
	ProtocolLogLik   = "loglik"   // log-likelihood of the choices
	ProtocolLogLik5  = "loglik-5" // of five labels
	ProtocolReward   = "reward"   // reward score against a frozen threshold
	ProtocolGenerate = "generate" // generate and compare
	ProtocolThesis   = "thesis"   // generate and parse
	ProtocolPaired   = "paired"   // reward scores of the completions compared
	ProtocolGroup    = "group"    // the mean over the tasks of a group
)

// Protocol is a protocol name in a configuration.
type Protocol string

// Values lists the protocols.
func (Protocol) Values() []string {
	return []string{ProtocolLogLik, ProtocolLogLik5, ProtocolReward, ProtocolThesis, ProtocolPaired}
}
