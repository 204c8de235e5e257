package ppo

// logprobTemperature is the lm.Options'.Temperature of every pass.
func (c *Config) logprobTemperature() float32 {
	if c.LogprobTemperature == LogprobAtOne {
		return 1
	}
	return c.Temperature
}

// updatesPerIteration is the number of optimizer updates of a whole iteration.
func (c *Config) updatesPerIteration() int64 {
	return int64(c.PPOEpochs) * int64(c.RolloutBatchSize/c.MiniBatchSize)
}
