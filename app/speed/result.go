package speed

import (
	"slices"
	"time"
)

// Result is what a job measured. Rates are per second, sizes in bytes.
type Result struct {
	Spec   Spec   `json:"spec"`
	Label  string `json:"label"`
	Device string `json:"device"` // cpu or cuda:N
	OnGPU  bool   `json:"on_gpu"`
	Kernel string `json:"kernel"` // CPU kernels in use, or the GPU
	Model  string `json:"model"`  // its description
	// Bare: libllama computes the model, which no adapter can be laid over; its arithmetic is not counted.
	Bare bool `json:"bare,omitempty"`

	Threads int `json:"threads"`
	// Seconds of each measured step.
	Seconds []float64 `json:"seconds"`
	// Tokens of a step, the numerator of TokensPerSecond: trained, scored or sampled ones;
	// prompts and responses of a PPO iteration.
	Tokens          int    `json:"tokens"`
	TokensPerSecond Spread `json:"tokens_per_second"`
	// FLOP is the counted arithmetic of a step (see Formula), GFLOPS its rate.
	FLOP   float64 `json:"flop"`
	GFLOPS Spread  `json:"gflops"`
	// PrefillPerSecond is the rate at which a rollout reads prompts; Tokens then are the
	// responses' from the second on, and Seconds the time from there.
	PrefillPerSecond *Spread `json:"prefill_per_second,omitempty"`
	// Apart are the seconds of the same steps with every prompt read for each of its responses (job group).
	Apart []float64 `json:"apart_seconds,omitempty"`

	// PeakBF16GFLOPS is the limit of these threads (0: no such instructions), or what a GPU's
	// large matrix products reach.
	PeakBF16GFLOPS float64 `json:"peak_bf16_gflops"`
	PeakF32GFLOPS  float64 `json:"peak_f32_gflops"`
	ShareOfPeak    float64 `json:"share_of_peak"` // median GFLOPS over the peak of the precision in use

	PeakRSS      int64 `json:"peak_rss"`      // of the process
	LoadedRSS    int64 `json:"loaded_rss"`    // peak up to the end of loading model and adapters
	ScratchBytes int64 `json:"scratch_bytes"` // activations held by the engine
	// DeviceBytes is the GPU's memory in use at the end, the driver's own included and that of
	// other processes; nothing taken is given back before.
	DeviceBytes int64 `json:"device_bytes,omitempty"`
	DeviceTotal int64 `json:"device_total,omitempty"`

	Linears []Linear `json:"linears,omitempty"` // job kernels
	Ops     []Op     `json:"ops,omitempty"`     // with Profile, longest first
}

// Op is the time of all nodes of one operation in a step.
type Op struct {
	Op      string  `json:"op"`
	Count   int64   `json:"count"`
	Seconds float64 `json:"seconds"`
}

// Linear is the speed of the frozen matrices of one shape and type.
type Linear struct {
	Targets  []string `json:"targets"`
	Type     string   `json:"type"`
	NIn      int      `json:"n_in"`
	NOut     int      `json:"n_out"`
	Rows     int      `json:"rows"`
	Forward  float64  `json:"forward_gflops"`
	Backward float64  `json:"backward_gflops"`
}

// Spread is the median of measured values with the smallest and largest.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf summarizes values; at least one.
func spreadOf(x []float64) Spread {
	s := slices.Sorted(slices.Values(x))
	n := len(s)
	return Spread{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1]}
}

// rates divides an amount of work by the seconds of each step.
func rates(work float64, seconds []float64) Spread {
	x := make([]float64, len(seconds))
	for i, s := range seconds {
		x[i] = work / s
	}
	return spreadOf(x)
}

// timed runs f warmup times unmeasured, then steps times, and returns the seconds of each.
func timed(warmup, steps int, f func() error) ([]float64, error) {
	var seconds []float64
	for i := range warmup + steps {
		start := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		if i >= warmup {
			seconds = append(seconds, time.Since(start).Seconds())
		}
	}
	return seconds, nil
}
