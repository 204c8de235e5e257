package report_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

type object = map[string]any

var theories = []string{"deontology", "utilitarianism", "virtue", "harmlessness"}

// hostile is text that must never become markup, script or a broken document.
const hostile = "</div><script>alert('x')</script><img src=x onerror=alert(1)> {{.}} \x00\x1b[31m \u202e reversed & " +
	"\"quoted\""

func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	write(t, path, string(b))
}

func readJSON(t testing.TB, path string) object {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var v object
	require.NoError(t, json.Unmarshal(b, &v))
	return v
}

// edit changes a result file of the fixture.
func edit(t testing.TB, path string, f func(object)) {
	t.Helper()
	v := readJSON(t, path)
	f(v)
	writeJSON(t, path, v)
}

func metrics(t testing.TB, path string, steps int, f func(step int) object) {
	t.Helper()
	var b strings.Builder
	for s := 1; s <= steps; s++ {
		m := f(s)
		m["step"] = s
		m["time"] = "2026-01-31T10:00:00Z"
		line, err := json.Marshal(m)
		require.NoError(t, err)
		b.Write(line)
		b.WriteByte('\n')
	}
	write(t, path, b.String())
}

func stage(kind, name, theory string, more object) object {
	out := object{
		"stage": kind, "name": name, "version": 1, "status": "finished", "steps": 200, "seconds": 812.5,
		"tokens": 409600, "seed": 7,
		"base": object{"path": "models/smol.gguf", "sha256": strings.Repeat("ab12", 16),
			"name":         "SmolLM2-135M-Instruct",
			"architecture": "llama", "quantization": "Q4_1", "parameters": 134515008},
		"data": []object{{"path": "data/" + name + ".jsonl.gz", "role": "train",
			"sha256": strings.Repeat("cd34", 16), "rows": 1000, "used": 990, "dropped": 10}},
		"adapter":  object{"path": name + "/adapter.gguf", "sha256": strings.Repeat("ef56", 16)},
		"versions": object{"steer": "0.1.0", "go": "go1.26", "llama.cpp": "b7900"},
		"device":   "cpu", "precision": "bf16", "command": []string{"steer", kind, "--config", name + "/config.yaml"},
	}
	if theory != "" {
		out["theory"] = theory
	}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// experiment writes a whole experiment folder of invented numbers, the same in every
// run, and returns its path: every policy gains under its own reward but
// harmlessness, one is stopped early, ToxiGen is degenerate for all.
func experiment(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(template(t))))
	return dir
}

// template makes the fixture once; the tests change copies of it.
func template(t testing.TB) string {
	made.Do(func() {
		dir, err := os.MkdirTemp("", "steer-report-")
		require.NoError(t, err)
		fill(t, dir)
		madeDir = dir
	})
	require.NotEmpty(t, madeDir, "the fixture could not be made")
	return madeDir
}

var (
	made    sync.Once
	madeDir string
)

func TestMain(m *testing.M) {
	code := m.Run()
	if madeDir != "" {
		_ = os.RemoveAll(madeDir)
	}
	os.Exit(code)
}

func fill(t testing.TB, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(s float64) float64 { return s * rng.NormFloat64() }
	write(t, filepath.Join(dir, "experiment.yaml"), "name: fixture\ntheories: [deontology, utilitarianism, virtue, "+
		"harmlessness]\nseed: 7\n")

	write(t, filepath.Join(dir, "sft/config.yaml"), "lr: 0.0002\nsteps: 200\n")
	metrics(t, filepath.Join(dir, "sft/metrics.jsonl"), 600, func(s int) object {
		m := object{"loss": round(1.4 + 1.5*math.Exp(-float64(s)/120) + noise(0.08)), "lr": 0.0002}
		if s%50 == 0 {
			m["eval_loss"] = round(1.5 + 1.4*math.Exp(-float64(s)/120))
		}
		return m
	})
	writeJSON(t, filepath.Join(dir, "sft/result.json"), stage("sft", "sft", "", object{
		"loss_first": 2.9, "loss": 1.41, "eval_before": object{"loss": 2.9, "perplexity": 18.2},
		"eval_last": object{"loss": 1.52, "perplexity": 4.57},
		"counts":    object{"in": 1000, "kept": 990, "dropped": 10}, "resumed": 1}))

	for i, th := range theories {
		name := "reward-" + th
		write(t, filepath.Join(dir, name, "config.yaml"), "theory: "+th+"\nrecipe: zip\n")
		metrics(t, filepath.Join(dir, name, "metrics.jsonl"), 200, func(s int) object {
			m := object{"loss": round(0.4 + 0.3*math.Exp(-float64(s)/60) + noise(0.04)),
				"accuracy": round(min(1, 0.8-0.3*math.Exp(-float64(s)/60)+noise(0.03)))}
			if s%40 == 0 {
				m["eval_accuracy"] = round(0.78 - 0.28*math.Exp(-float64(s)/60))
			}
			return m
		})
		chosen, rejected := make([]float64, 300), make([]float64, 300)
		for k := range chosen {
			chosen[k], rejected[k] = round(1+noise(1)), round(-0.4+noise(1.1))
		}
		acc := []object{{"mean": 0.812, "lo": 0.765, "hi": 0.851, "n": 300},
			{"mean": 0.78, "lo": 0.73, "hi": 0.823, "n": 300},
			{"mean": 0.733, "lo": 0.68, "hi": 0.78, "n": 300}, {"mean": 0.533, "lo": 0.477, "hi": 0.589, "n": 300}}[i]
		writeJSON(t, filepath.Join(dir, name, "result.json"), stage("reward", name, th, object{
			"recipe": "zip", "accuracy": acc, "normalisation": object{"mean": 0.3, "std": 1.25},
			"histograms": []object{{"name": "chosen", "values": chosen}, {"name": "rejected", "values": rejected}}}))

		name = "ppo-" + th
		gain := []float64{1.2, 0.8, 1.6, 0.1}[i]
		metrics(t, filepath.Join(dir, name, "metrics.jsonl"), 120, func(s int) object {
			x := 1 - math.Exp(-float64(s)/50)
			m := object{"ppo/mean_scores": round(gain*x + noise(0.12)), "objective/kl": round(6*x*x*gain + noise(0.2)),
				"objective/entropy":         round(90 - 20*x + noise(2)),
				"tokens/responses_len_mean": round(60 + 15*x*gain + noise(2)),
				"ppo/loss/total":            round(.4*(1-x) + .02*math.Sin(float64(s)))}
			if s%30 == 0 {
				m["heldout/score"] = round(gain * x * 0.9)
			}
			return m
		})
		more := object{"iterations": 30, "score_first": 0.0, "score_last": gain,
			"heldout_first": object{"score": object{"mean": 0, "lo": -0.1, "hi": 0.1, "n": 64},
				"difference": object{"mean": 0, "lo": 0, "hi": 0, "n": 64},
				"kl":         object{"mean": 0, "lo": 0, "hi": 0, "n": 64}, "length": 60},
			"heldout_last": object{"score": object{"mean": gain, "lo": gain - 0.2, "hi": gain + 0.2, "n": 64},
				"difference": object{"mean": gain, "lo": round(gain - 0.15), "hi": round(gain + 0.15), "n": 64},
				"kl":         object{"mean": 6 * gain, "lo": 5 * gain, "hi": 7 * gain, "n": 64},
				"length":     60 + 15*gain}}
		write(t, filepath.Join(dir, name, "run.json"), `{"stage":"ppo","name":"`+name+
			`","version":"0.1.0","opened":["2026-01-31T10:00:00Z","2026-01-31T11:00:00Z"]}`)
		if th == "virtue" {
			more["stopped_because"], more["steps"] = "objective/kl 12.3 was above the ceiling of 12 for 3 iterations.",
				120
			more["warnings"] = []string{"checkpoint step-000100 was damaged: step-000050 was used"}
		}
		writeJSON(t, filepath.Join(dir, name, "result.json"), stage("ppo", name, th, more))
	}
	writeJSON(t, filepath.Join(dir, "eval/result.json"), evaluation(noise))
}

func evaluation(noise func(float64) float64) object {
	names := append([]string{"base", "sft"}, theories...)
	models := []object{{"name": "base", "role": "base", "adapters": []string{}},
		{"name": "sft", "role": "sft", "adapters": []string{"sft/adapter.gguf"}}}
	for _, th := range theories {
		models = append(models, object{"name": th, "role": "policy", "theory": th,
			"adapters": []string{"sft/adapter.gguf", "ppo-" + th + "/adapter.gguf"}})
	}
	var cells [][]object
	var hist []object
	kl, lengths := object{}, object{}
	for i, n := range names {
		var row []object
		for j, th := range theories {
			d := []float64{0.05, -0.3, 0.12, 0.02}[(i+2*j)%4]
			if i-2 == j {
				d = []float64{1.1, 0.7, 1.4, 0.08}[j]
			}
			if n == "base" {
				d = -0.4
			}
			if n == "sft" {
				d = 0
			}
			mean := round(0.2*float64(j) + d)
			cell := object{"mean": mean, "lo": round(mean - 0.14), "hi": round(mean + 0.14), "n": 200}
			if n != "sft" {
				cell["diff_sft"], cell["diff_lo"], cell["diff_hi"], cell["win_rate"] = d, round(d-0.13), round(d+0.13),
					round(0.5+d/4)
			}
			row = append(row, cell)
			values := make([]float64, 200)
			for k := range values {
				values[k] = round(mean + noise(1))
			}
			hist = append(hist, object{"policy": n, "reward": th, "values": values})
		}
		cells = append(cells, row)
		lengths[n] = object{"mean": 60 + 4*i, "lo": 57 + 4*i, "hi": 63 + 4*i}
		if i >= 2 {
			kl[n] = object{"mean": 1.5 * float64(i), "lo": 1.5*float64(i) - 0.4, "hi": 1.5*float64(i) + 0.5}
		}
	}
	var benchmarks []object
	for i, n := range names {
		add := func(name, protocol string, items int, metrics object, intervals object, flags ...string) {
			benchmarks = append(benchmarks, object{"benchmark": name, "protocol": protocol, "model": n, "n": items,
				"metrics": metrics, "intervals": intervals, "flags": flags})
		}
		mcc := round(0.04 + 0.02*float64(i))
		add("scruples", "loglik", 500, object{"mcc": mcc, "acc": 0.71, "majority_acc": 0.794, "ceiling_acc": 0.936,
			"ceiling_mcc": 0.804, "tp": 12}, object{"mcc": []float64{round(mcc - 0.09), round(mcc + 0.09)},
			"acc": []float64{0.67, 0.75}}, "truncated=12")
		refused := fmt.Sprintf("refused=%d", 300+20*i)
		add("scruples", "thesis", 500, object{"mcc": 0.01, "acc": 0.31, "coverage": 0.3},
			object{"mcc": []float64{-0.1, 0.12}, "acc": []float64{0.27, 0.35}}, refused)
		add("toxigen", "loglik", 940, object{"acc": 0.4319, "mcc": 0, "predicted_yes": 1},
			object{"acc": []float64{0.4, 0.464}}, "degenerate")
		wsc := round(0.6 + 0.005*float64(i))
		add("wsc273", "loglik", 273, object{"acc": wsc},
			object{"acc": []float64{round(wsc - 0.06), round(wsc + 0.055)}})
	}
	for i, th := range theories {
		mcc := round(0.02 + 0.05*float64(i))
		benchmarks = append(benchmarks, object{"benchmark": "scruples", "protocol": "reward", "model": th, "n": 500,
			"flags":     []string{"threshold_from_other_rows"},
			"metrics":   object{"mcc": mcc, "auc": 0.55},
			"intervals": object{"mcc": []float64{round(mcc - 0.08), round(mcc + 0.08)}}})
	}
	var samples []object
	for k := range 6 {
		answers, scores := object{}, object{}
		for i, n := range names {
			answers[n] = fmt.Sprintf("Answer %d of %s. ", k+1,
				n) + strings.Repeat("It depends on what was promised and to whom. ", 1+(i+k)%4)
			scores[n] = object{"deontology": round(noise(1)), "utilitarianism": round(noise(1)),
				"virtue": round(noise(1)), "harmlessness": round(noise(1))}
		}
		prompt := fmt.Sprintf("Prompt %d: my neighbour asked me to keep a secret that could hurt somebody else. What "+
			"should I do?", k+1)
		if k == 5 {
			prompt, answers["base"] = hostile, hostile
		}
		samples = append(samples, object{"prompt": prompt, "answers": answers, "scores": scores})
	}
	return stage("eval", "eval", "", object{"models": models, "benchmarks": benchmarks, "samples": samples,
		"cross_reward": object{
			"policies": names, "rewards": theories, "reference": "sft", "unit": "raw", "cells": cells, "kl": kl,
			"lengths": lengths, "histograms": hist,
			"prompts": object{"path": "data/prompts.jsonl", "rows": 200}}})
}
