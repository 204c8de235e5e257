// Package mixture makes one reward of several: a parliament in which each theory has a voice.
//
// [Config] says how voices are joined (sum, the least of them, their mean rank, in order of
// priority) and under which constraints. [Mixture] is the same with the rewards' names and weights:
// pure functions of the rewards of a batch, and a small [State], the Lagrange multipliers.
//
// It imports rl/train for checks of a configuration, and nothing that samples or learns.
package mixture
