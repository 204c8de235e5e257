package ppo

import "errors"

var errNoFullKL = errors.New("kl_penalty full needs the whole distributions, which this engine build does not give: " +
	"choose kl, k3, abs or mse")
