package rewards

import "steer/ggml/adapter"

// Metadata keys of a reward adapter. What scores with it has to encode texts as these say.
const (
	MetaRole      = adapter.MetaRole // "reward"
	MetaTheory    = adapter.MetaTheory
	MetaForm      = adapter.MetaForm
	MetaTemplate  = adapter.MetaRewardTemplate
	MetaSystem    = adapter.MetaRewardSystem
	MetaEOS       = adapter.MetaEOS
	MetaMaxLength = adapter.MetaMaxLength
	MetaPairs     = adapter.MetaPairs
)
