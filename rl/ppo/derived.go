package ppo

// updatesPerIteration is the number of optimizer updates of a whole iteration.
func (c *Config) updatesPerIteration() int64 {
	return int64(c.PPOEpochs) * int64(c.RolloutBatchSize/c.MiniBatchSize)
}
