package ggml

import (
	"context"
	"errors"
	"fmt"

	"steer/cgo"
	"steer/ggml/lm"
)

// Memory is a GPU's memory, in bytes, whoever uses it.
type Memory struct {
	Free, Total int64
	// Opened was in use right after the device had been opened: the driver's context on the
	// GPU, and whatever other programs hold.
	Opened int64
	// Most is the most in use since then, as far as it was seen: at every question for it,
	// and before a session is freed. Nothing else of a model is freed while it is open.
	Most int64
}

// Used is what is in use now.
func (m Memory) Used() int64 { return m.Total - m.Free }

// Memory looks at a GPU's memory. An error on the CPU.
func (d *Device) Memory() (Memory, error) {
	m, err := d.memory()
	return Memory{Free: m.Free, Total: m.Total, Opened: m.Opened, Most: m.Most}, err
}

func (d *Device) memory() (m cgo.Memory, err error) {
	err = d.do(func() (err error) { m, err = d.native.Memory(); return err })
	return m, err
}

// DeviceBytes is what the weights take of the GPU's memory; 0 on the CPU.
func (m *Model) DeviceBytes() (n int64) {
	_ = m.do(func() error { n = m.native.DeviceBytes(); return nil })
	return n
}

// Decoding is a session and its largest decode: the unit that plans of decoding are made of.
type Decoding struct {
	Session SessionOptions
	Tokens  int // of the largest prompt batch
	Outputs int // next tokens drawn at once
}

// trialTokens are what a sequence of a trial generates, where its context has the room: enough
// for the graph of a decode to be captured (third_party/patches/0005).
const trialTokens = 8

// PlanWorkspaces is what a GPU takes besides all that can be laid out beforehand: the code of
// kernels, which CUDA loads when they first run, cuBLAS's workspaces, the pools of ggml-cuda
// in decoding, and what the driver rounds up. It is measured by a trial: each pass runs on one
// layer with its longest sequence (shortened where that alone takes much memory), and the
// session decodes a batch of prompts and some tokens. The trial's own memory is given back
// or, where it stays to be used again (activations, scratch), not counted here. A session
// without sequences is not tried. Where there is no room for the trial itself the answer is
// what was seen until then: there is none for what it stands for either.
func (m *Model) PlanWorkspaces(ctx context.Context, passes []Pass, d Decoding) (int64, error) {
	_, err := m.probe(passes, m.probeTokens())
	if err != nil && !errors.Is(err, lm.ErrOutOfMemory) {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	rest, err := m.unaccounted(0)
	if err != nil || d.Session.Sequences == 0 {
		return rest, err
	}
	decoding, err := m.tryDecoding(ctx, d)
	if err != nil && !errors.Is(err, lm.ErrOutOfMemory) {
		return 0, fmt.Errorf("plan: trying a session: %w", err)
	}
	return max(rest, decoding), nil
}

// unaccounted is what the GPU holds beyond what it held at first, the weights, what Steps keep
// between passes, and the given bytes.
func (m *Model) unaccounted(bytes int64) (int64, error) {
	mem, err := m.dev.memory()
	if err != nil {
		return 0, err
	}
	var activations int64
	err = m.do(func() error { activations = m.scratch.Bytes(); return nil })
	return max(0, mem.Total-mem.Free-mem.Opened-m.DeviceBytes()-mem.Scratch-activations-bytes), err
}

// tryDecoding opens the session, with fewer sequences if there is no room for all, decodes in
// it, and returns what the GPU then holds unaccounted for.
func (m *Model) tryDecoding(ctx context.Context, d Decoding) (rest int64, err error) {
	opt := d.Session
	var known int64
	opt.Adapters = nil
	for _, a := range d.Session.Adapters {
		likeness, failed := m.NewAdapter(a.host, false)
		if failed != nil {
			return 0, failed
		}
		defer func() { err = errors.Join(err, likeness.Close()) }()
		params, _, _ := likeness.Bytes()
		known += params
		opt.Adapters = append(opt.Adapters, likeness)
	}
	for ; ; opt.Sequences /= 2 {
		if opt.Sequences == 0 {
			return 0, lm.ErrOutOfMemory
		}
		use, err := m.PlanSession(opt, d.Tokens, min(d.Outputs, opt.Sequences))
		if err != nil {
			return 0, err
		}
		mem, err := m.dev.Memory()
		if err != nil {
			return 0, err
		}
		if use.KV+use.Compute <= mem.Free {
			known += use.KV + use.Compute
			break
		}
	}
	s, err := m.NewSession(opt)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.Generate(ctx, trial(opt, d.Tokens, m.info.Vocab), lm.Sampling{}); err != nil {
		return 0, err
	}
	return m.unaccounted(known)
}

// trial fills a session with requests whose prompts have so many tokens together.
func trial(opt SessionOptions, tokens, vocab int) []lm.Request {
	length := max(1, min(tokens/opt.Sequences, opt.Context-trialTokens))
	reqs := make([]lm.Request, opt.Sequences)
	for i := range reqs {
		reqs[i].MaxNew = min(trialTokens, opt.Context-length)
		for j := range length {
			reqs[i].Prompt = append(reqs[i].Prompt, int32((i*7+j*3)%vocab))
		}
	}
	return reqs
}
